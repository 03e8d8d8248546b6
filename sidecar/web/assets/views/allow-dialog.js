/** Adding to the allow-list in two steps: see what would go, then allow. Any change goes back to the first step. */

import { element, replace } from '../dom.js';
import { count } from '../format.js';
import { severityBadge } from '../parts/badges.js';
import { ask, labelled } from '../parts/dialog.js';
import { subject } from './findings.js';

/** @type {[name: string, label: string, hint: string][]} */
const CONDITIONS = [
  ['source', 'Source', 'IP or CIDR'],
  ['destination', 'Destination', 'IP or CIDR'],
  ['port', 'Port', ''],
  ['transport', 'Transport', ''],
  ['domain', 'Domain', 'Exactly this name; *.example.org: it and all below'],
  ['process', 'Process', 'Name; or path with wildcards'],
  ['client_fingerprint', 'Client (JA4)', 'Exactly this fingerprint; t13d1516h2_*: all that begin so'],
];
/** @type {[number, string][]} */
const EXPIRIES = [[0, 'Never'], [1, 'In 1 day'], [7, 'In 7 days'], [30, 'In 30 days'], [365, 'In 1 year']];
const LISTED = 8;

/** The conditions that describe a finding. @param {any} alert @returns {Record<string, string>} */
export function conditionsOf({ details }) {
  const domain = details.server_name;
  return {
    source: details.src_ip ?? '',
    destination: details.dst_ip ?? '',
    port: details.dst_port === undefined ? '' : String(details.dst_port),
    transport: String(details.protocol ?? '').toLowerCase(),
    domain: domain ?? '',
    process: details.process?.name ?? '',
    client_fingerprint: details.client_fingerprint ?? '',
  };
}

/**
 * @param {import('../api.js').Api} api
 * @param {Record<string, string>} prefilled
 * @returns {Promise<any>} What the API made, or null.
 */
export function allowDialog(api, prefilled = {}) {
  const fields = createFields(prefilled);
  const effect = element('div', { class: 'effect', role: 'status' });
  let previewed = '';
  /** @type {HTMLButtonElement} */
  let button;
  const toPreview = () => {
    if (fields.conditions() === previewed) return;
    previewed = '';
    button.textContent = 'Preview';
    fields.requireReason(false);
    replace(effect);
  };
  return ask({
    title: 'Allow',
    action: 'Preview',
    content: [element('p', {}, 'What matches all filled-in conditions is no longer reported, and what was found already is taken back. Empty conditions match anything.'), fields.node, effect],
    ready({ submit, form }) {
      button = submit;
      form.addEventListener('input', toPreview);
    },
    async answer(problem) {
      const conditions = fields.conditions();
      if (conditions === '{}') return problem('Fill in at least one condition.');
      if (previewed === conditions) return api.post('allow', fields.entry());
      const entry = { ...fields.entry(), reason: fields.entry().reason || 'preview' };
      const answer = await api.post('allow', entry, { dry_run: true });
      previewed = conditions;
      replace(effect, describeEffect(answer.effect));
      button.textContent = 'Allow';
      fields.requireReason(true);
      return undefined;
    },
  });
}

/** @param {Record<string, string>} prefilled */
function createFields(prefilled) {
  const inputs = Object.fromEntries(CONDITIONS.map(([name]) => [name, conditionInput(name, prefilled[name] ?? '')]));
  const reason = element('input', { type: 'text', maxlength: 500, name: 'reason' });
  const owner = element('input', { type: 'text', maxlength: 200, name: 'owner' });
  const expiry = element('select', { name: 'expires' }, EXPIRIES.map(([days, text]) => element('option', { value: days }, text)));
  const node = [
    element('fieldset', { class: 'grid' }, element('legend', {}, 'Conditions'), CONDITIONS.map(([name, label, hint]) => labelled(label, inputs[name], hint))),
    element('div', { class: 'grid' }, labelled('Reason', reason, 'Required: why this is harmless'), labelled('Owner', owner, 'Who answers for it'), labelled('Expires', expiry)),
  ];
  const given = () => Object.fromEntries(CONDITIONS.map(([name]) => [name, inputs[name].value.trim()]).filter(([, value]) => value !== ''));
  return {
    node,
    /** A preview needs no reason. @param {boolean} required */
    requireReason(required) {
      reason.required = required;
    },
    conditions: () => JSON.stringify(given()),
    entry() {
      /** @type {Record<string, any>} */
      const entry = { ...given(), reason: reason.value.trim() };
      if (entry.port !== undefined) entry.port = Number(entry.port);
      if (owner.value.trim()) entry.owner = owner.value.trim();
      const days = Number(expiry.value);
      if (days > 0) entry.expires = new Date(Date.now() + days * 86_400_000).toISOString();
      return entry;
    },
  };
}

/** @param {string} name @param {string} value */
function conditionInput(name, value) {
  if (name === 'transport') return element('select', { name }, ['', 'tcp', 'udp', 'icmp'].map((option) => element('option', { value: option, selected: option === value }, option === '' ? 'Any' : option.toUpperCase())));
  if (name === 'port') return element('input', { name, type: 'number', min: 1, max: 65_535, value });
  return element('input', { name, type: 'text', value, autocomplete: 'off', spellcheck: 'false' });
}

/** @param {any} effect */
export function describeEffect(effect) {
  const alerts = effect?.alerts ?? [];
  const head = element('p', {}, 'This would take back ', element('strong', {}, `${count(effect?.findings)} finding${effect?.findings === 1 ? '' : 's'}`), ` and silence ${count(effect?.series)} series.`);
  if (alerts.length === 0) return [head];
  const rows = alerts.slice(0, LISTED).map((/** @type {any} */ alert) => element('li', {}, severityBadge(alert.severity), ' ', subject(alert)));
  const rest = effect.findings - rows.length;
  return [head, element('ul', { class: 'effect-list' }, rows), rest > 0 ? element('p', { class: 'muted' }, `and ${count(rest)} more`) : null];
}
