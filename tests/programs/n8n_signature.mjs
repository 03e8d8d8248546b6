// Runs the code of n8n's playbook that verifies signatures, with requests that are genuine and others.
//
// usage: node n8n_signature.mjs WORKFLOW
//
// Prints an object from the kind of request to whether the code took it for genuine. What n8n gives to a code node
// ($input, $env, this.helpers) is given here with as much as the code uses.

import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const workflow = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const code = workflow.nodes.find((node) => node.name === 'Verify signature').parameters.jsCode;
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
const run = new AsyncFunction('require', '$input', '$env', code);

const KEY = crypto.createHash('sha256').update('a key of the test').digest();
const BODY = '{"event_id": "f-1"}';

function headers(body, at) {
  const timestamp = String(Math.floor(at));
  const signature = crypto.createHmac('sha256', KEY).update(`f-1.${timestamp}.${body}`).digest('base64');
  return {
    'webhook-id': 'f-1',
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
}

async function isGenuine(given, body, secret) {
  const self = { helpers: { getBinaryDataBuffer: async () => Buffer.from(body) } };
  const input = { first: () => ({ json: { headers: given } }) };
  const [item] = await run.call(self, require, input, { BEACONWATCH_WEBHOOK_SECRET: secret });
  return item.json.genuine;
}

const now = Date.now() / 1000;
const secret = `whsec_${KEY.toString('base64')}`;
const good = headers(BODY, now);
const other = `v1,${Buffer.alloc(32, 1).toString('base64')}`;
console.log(JSON.stringify({
  genuine: await isGenuine(good, BODY, secret),
  'second secret': await isGenuine({ ...good, 'webhook-signature': `${other} ${good['webhook-signature']}` }, BODY, secret),
  tampered: await isGenuine(good, '{"event_id": "f-2"}', secret),
  stale: await isGenuine(headers(BODY, now - 1000), BODY, secret),
  unsigned: await isGenuine({}, BODY, secret),
  'no secret': await isGenuine(good, BODY, undefined),
}));
