// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report_page.h"

namespace colossal::train {

std::string_view report_script() {
  return R"js(
const runs = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);
const state = {axis: 'step', smooth: 0.6, log: false, range: null, off: new Set()};
const color = i => `var(--c${i % 8})`;
const last = list => list.length ? list[list.length - 1] : null;
const lastKnown = list => { for (let i = list.length - 1; i >= 0; i--) if (list[i] !== null) return list[i]; return null; };
const several = runs.length > 1;

// Two runs of one name are told apart by their folders.
const nameOf = run => runs.filter(r => r.name === run.name).length > 1 ? run.folder : run.name;

const median = list => {
  const known = list.filter(v => v !== null).sort((a, b) => a - b);
  return known.length ? known[Math.floor(known.length / 2)] : null;
};
const largest = list => list.reduce((a, b) => Math.max(a, b ?? 0), 0);

const summaryOf = run => {
  const c = run.columns, steps = last(c.step) ?? 0, best = run.validation.map(v => v[2]).filter(v => v !== null);
  return {
    steps: run.total_steps ? `${steps} of ${run.total_steps}` : String(steps),
    loss: number(lastKnown(smooth(c.loss, Math.min(0.9, 1 - 1 / (c.loss.length + 1))))),
    validation: best.length ? number(last(best)) : null,
    best: best.length ? number(Math.min(...best)) : null,
    speed: count(median(c.tokens_per_second) ?? 0) + ' tok/s',
    tokens: run.tokens_per_step ? count(steps * run.tokens_per_step) : null,
    time: seconds(lastKnown(c.time) ?? 0),
    memory: largest(c.peak_memory_bytes) ? bytes(largest(c.peak_memory_bytes)) : null,
  };
};

function drawSummary() {
  const tile = (label, value, note) => value === null ? [] : [el('div', {class: 'card tile'}, el('div', {class: 'label'}, label),
    el('div', {class: 'value'}, value), ...(note ? [el('div', {class: 'note'}, note)] : []))];
  if (!several) {
    const s = summaryOf(runs[0]);
    byId('summary').replaceChildren(el('div', {class: 'tiles'}, ...tile('Training loss', s.loss),
      ...tile('Validation loss', s.validation, s.validation !== s.best ? 'best ' + s.best : ''), ...tile('Steps', s.steps),
      ...tile('Speed, median', s.speed), ...tile('Tokens', s.tokens), ...tile('Time', s.time), ...tile('Peak memory', s.memory, 'of one rank')));
    return;
  }
  const heads = ['Run', 'Steps', 'Training loss', 'Validation loss', 'Best', 'Speed, median', 'Tokens', 'Time', 'Peak memory'];
  const table = el('table', {}, el('tr', {}, ...heads.map((h, i) => el('th', i ? {class: 'number'} : {}, h))));
  runs.forEach((run, i) => {
    const s = summaryOf(run), name = el('td', {}, el('span', {class: 'chip'}, el('span', {class: 'dot', style: `background:${color(i)}`}), nameOf(run)));
    table.append(el('tr', {}, name, ...[s.steps, s.loss, s.validation, s.best, s.speed, s.tokens, s.time, s.memory]
      .map(v => el('td', {class: 'number'}, v ?? ''))));
  });
  byId('summary').replaceChildren(el('div', {class: 'card scroll'}, table));
}

// x values of a run on the chosen axis; index 1 of a validation entry is its time.
const xOf = run => state.axis === 'time' ? run.columns.time
  : state.axis === 'tokens' ? run.columns.step.map(s => s * run.tokens_per_step) : run.columns.step;
const validationX = run => run.validation.map(v => state.axis === 'time' ? v[1] : state.axis === 'tokens' ? v[0] * run.tokens_per_step : v[0]);
const xFormat = (v, full) => state.axis === 'time' ? seconds(v) : state.axis === 'tokens' ? count(v) + (full ? ' tokens' : '')
  : full ? 'step ' + v : Number.isInteger(v) ? (v >= 1e5 ? count(v) : String(v)) : '';

// The values of single steps, faint, and their running mean on top.
const curve = (column, {what = '', smoothed = true, dash = '', key = ''} = {}) => (run, i) => {
  const x = xOf(run), y = run.columns[column], known = y.some(v => v !== null);
  if (!known) return [];
  const label = [several ? nameOf(run) : '', what].filter(Boolean).join(', ') || 'value';
  const base = {x, label, color: color(i), dash, key: i === 0 ? key : ''};
  if (!smoothed || state.smooth === 0) return [{...base, y}];
  return [{...base, y, key: '', faint: true, hasStrong: true}, {...base, y: smooth(y, state.smooth)}];
};
const validation = (run, i) => run.validation.length ? [{x: validationX(run), y: run.validation.map(v => v[2]),
  label: several ? nameOf(run) + ', validation' : 'validation', color: several ? color(i) : color(1), dash: several ? '6 4' : '', dots: true,
  key: runs.findIndex(r => r.validation.length) === i ? 'validation' : ''}] : [];

const charts = [
  {title: 'Loss', wide: true, format: v => number(v), log: true,
   parts: [curve('loss', {what: 'training', key: 'training'}), validation]},
  {title: 'Gradient norm', format: v => number(v), parts: [curve('grad_norm')], zero: true},
  {title: 'Learning rate', format: v => number(v), parts: [curve('learning_rate', {smoothed: false})], zero: true},
  {title: 'Tokens per second', format: count, parts: [curve('tokens_per_second')], zero: true},
  {title: 'Time of a step', format: seconds, zero: true, parts: [curve('step_seconds')]},
  {title: 'Waiting within a step', format: seconds, zero: true, parts: [
   curve('communication_seconds', {what: 'communication', key: 'communication'}),
   curve('data_wait_seconds', {what: 'data', dash: '4 3', key: 'data'})]},
  {title: 'Peak memory of a rank', format: bytes, binary: true, parts: [curve('peak_memory_bytes', {smoothed: false})], zero: true},
];

function draw() {
  byId('smoothing').textContent = state.smooth.toFixed(2);
  byId('reset').hidden = state.range === null;
  for (const chart of charts) {
    const series = runs.flatMap((run, i) => state.off.has(i) ? [] : chart.parts.flatMap(part => part(run, i)));
    chart.view.draw(series, {range: state.range, log: chart.log && state.log, xFormat, onZoom: range => { state.range = range; draw(); }});
  }
}

function drawRuns() {
  byId('runs').replaceChildren(...(several ? runs : []).map((run, i) => {
    const chip = el('button', {type: 'button', class: 'chip' + (state.off.has(i) ? ' off' : '')},
      el('span', {class: 'dot', style: `background:${color(i)}`}), nameOf(run));
    chip.addEventListener('click', () => { if (!state.off.delete(i)) state.off.add(i); drawRuns(); draw(); });
    return chip;
  }));
}

function drawSamples() {
  const all = runs.flatMap((run, i) => run.samples.map(s => ({...s, i, run}))).sort((a, b) => b.step - a.step || a.i - b.i);
  if (!all.length) return;
  const row = s => {
    const text = el('pre', {}, el('span', {class: 'prompt'}, s.prompt), s.text);
    const dot = several ? [el('span', {class: 'dot', style: `background:${color(s.i)}`})] : [];
    return el('div', {class: 'sample'}, el('div', {class: 'where'}, ...dot, 'step ' + s.step), text);
  };
  const list = el('div', {class: 'card'}, ...all.slice(0, 8).map(row));
  if (all.length > 8) {
    const more = el('button', {type: 'button'}, `show ${all.length - 8} more`);
    more.addEventListener('click', () => more.parentNode.replaceWith(...all.slice(8).map(row)));
    list.append(el('div', {class: 'sample'}, more));
  }
  byId('samples').append(el('h2', {}, 'Samples, newest first'), list);
}

// One row per key; keys whose value is not the same in all runs come first.
function drawTable(id, title, pick, open) {
  const keys = [...new Set(runs.flatMap(run => Object.keys(pick(run))))];
  if (!keys.length) return;
  const differs = key => new Set(runs.map(run => String(pick(run)[key] ?? ''))).size > 1;
  const table = el('table', {}, ...(several ? [el('tr', {}, el('th', {}, ''), ...runs.map((run, i) =>
    el('th', {}, el('span', {class: 'chip'}, el('span', {class: 'dot', style: `background:${color(i)}`}), nameOf(run)))))] : []));
  for (const key of [...keys.filter(differs), ...keys.filter(k => !differs(k))])
    table.append(el('tr', differs(key) ? {class: 'changed'} : {}, el('td', {class: 'mono'}, key),
      ...runs.map(run => el('td', {class: 'code'}, String(pick(run)[key] ?? '')))));
  const details = el('details', open ? {open: ''} : {}, el('summary', {}, title), el('div', {class: 'card scroll'}, table));
  byId(id).append(details);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
}

const system = matchMedia('(prefers-color-scheme: dark)');
setTheme(system.matches ? 'dark' : 'light');
system.addEventListener('change', e => setTheme(e.matches ? 'dark' : 'light'));
byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
byId('title').textContent = several ? `${runs.length} runs` : runs[0].name;
byId('subtitle').textContent = several ? runs.map(nameOf).join(' · ')
  : [runs[0].environment.started, runs[0].environment.host, runs[0].environment.ranks && runs[0].environment.ranks + ' ranks'].filter(Boolean).join(' · ');
document.title = byId('title').textContent + ' · Colossal';
if (!runs.every(run => run.tokens_per_step)) byId('axis').querySelector('[value=tokens]').remove();
byId('axis').addEventListener('change', e => { state.axis = e.target.value; state.range = null; draw(); });
byId('smooth').addEventListener('input', e => { state.smooth = Number(e.target.value); draw(); });
byId('log').addEventListener('change', e => { state.log = e.target.checked; draw(); });
byId('reset').addEventListener('click', () => { state.range = null; draw(); });
for (const chart of charts) chart.view = new Chart(byId('charts'), chart);
drawSummary();
drawRuns();
drawSamples();
drawTable('config', 'Configuration', run => run.config, several);
drawTable('environment', 'Environment', run => run.environment, true);
draw();
let pending;
addEventListener('resize', () => { cancelAnimationFrame(pending); pending = requestAnimationFrame(draw); });
)js";
}

}  // namespace colossal::train
