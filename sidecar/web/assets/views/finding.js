/** One finding: why it was found, what its connections look like, where it was delivered, what was done about it. */

import { after, element, replace } from '../dom.js';
import { count, score, time } from '../format.js';
import { severityBadge, stateBadges } from '../parts/badges.js';
import { fill } from '../parts/states.js';
import { beatsPanel, histogramPanel, spectrumPanel } from '../charts/panels.js';
import { explanationPanel } from './explanation.js';
import { createActions } from './finding-actions.js';
import { connectionPanel, deliveryPanel, evidencePanel, historyPanel, processPanel, sensorPanel } from './finding-panels.js';
import { subject } from './findings.js';

/** An analysis can change a finding several times in a moment. */
const RELOAD_AFTER_MS = 300;

/** @type {import('../app.js').MakeView} */
export function findingView({ api }, route) {
  const id = route.parts[1];
  const path = `alerts/${encodeURIComponent(id)}`;
  const heading = element('h1', {}, 'Finding');
  const head = element('div', { class: 'finding-head' });
  const actions = element('div', { class: 'actions', role: 'group', 'aria-label': 'Actions' });
  const showActions = createActions(actions);
  const body = element('div', {});
  const charts = element('div', { class: 'panels-main' });
  const facts = element('div', { class: 'panels-side' });
  /** @type {(() => void)[]} */
  let drawn = [];
  let shownSeries = '';

  const show = (/** @type {any} */ alert) => {
    replace(heading, subject(alert));
    document.title = `${subject(alert)} · Beaconwatch`;
    replace(head, headline(alert));
    showActions({ api, alert, reload: refresh });
    replace(facts, sidePanels(alert, { api, alert, reload: refresh }));
    showCharts(alert);
    if (!charts.isConnected) replace(body, element('div', { class: 'panels' }, charts, facts));
  };
  // Charts stay as they are (zoom, cursor) unless their data changed.
  function showCharts(/** @type {any} */ alert) {
    const seen = JSON.stringify([alert.series?.times?.length, alert.series?.times?.at(-1), alert.details]);
    if (seen === shownSeries) return;
    shownSeries = seen;
    dispose();
    replace(charts, alert.kind === 'sensor' ? null : explanationPanel(alert), chartPanels(alert, drawn));
  }
  function dispose() {
    for (const destroy of drawn) destroy();
    drawn = [];
  }
  async function refresh() {
    try {
      show(await api.get(path));
    } catch {
      // What is shown stays; the banner tells when the connection is lost.
    }
  }

  const soon = after(RELOAD_AFTER_MS, () => void refresh());
  const back = element('a', { class: 'back', href: '#/findings' }, '← Findings');
  return {
    title: 'Finding',
    node: element('div', { class: 'view' }, back, element('div', { class: 'heading' }, heading), head, actions, body),
    load: () => (charts.isConnected ? refresh() : fill(body, 'the finding', () => api.get(path), show)),
    onAlert(alert) {
      if (alert.alert_id === id) soon();
    },
    dispose,
  };
}

/** @param {any} alert */
function headline(alert) {
  const { details } = alert;
  return [
    element('div', { class: 'headline' }, severityBadge(alert.severity), details.score === undefined ? null : element('span', { class: 'big-score' }, 'Score ', element('strong', {}, score(details.score))), stateBadges(alert), element('span', { class: 'muted' }, 'Opened ', time(alert.opened), ' · updated ', time(alert.updated), ` · revision ${count(alert.revision)}`)),
    element('p', { class: 'description' }, alert.description),
  ];
}

/** @param {any} alert @param {(() => void)[]} drawn */
function chartPanels(alert, drawn) {
  if (alert.kind === 'sensor') return null;
  const { series, details } = alert;
  if (!series) return element('section', { class: 'panel' }, element('h2', {}, 'Connections'), element('p', { class: 'muted' }, 'The single connections are no longer kept: this series had to make room for others. The figures beside are those of the last detection.'));
  const panels = [beatsPanel(series, details.interval_s), histogramPanel(series, details.interval_s), spectrumPanel(series, details.interval_s)];
  drawn.push(...panels.map((panel) => panel.destroy));
  return [panels[0].node, element('div', { class: 'pair' }, panels[1].node, panels[2].node)];
}

/** @param {any} alert @param {import('./finding-actions.js').Subject} subjectOf */
function sidePanels(alert, subjectOf) {
  const about = alert.kind === 'sensor' ? [sensorPanel(alert)] : [evidencePanel(alert), connectionPanel(alert), processPanel(alert)];
  return [...about, deliveryPanel(alert), historyPanel(alert, subjectOf)];
}
