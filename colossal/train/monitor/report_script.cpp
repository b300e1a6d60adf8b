// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report_page.h"

namespace colossal::train {

const std::string_view kReportScript = R"js(
const runs = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);
// The longer the run, the more steps a point of the screen stands for.
const longest = Math.max(...runs.map(run => run.columns.step.length));
const state = {axis: 'step', smooth: Math.min(0.97, longest / (longest + 250)), log: false, outliers: false, range: null, off: new Set()};
const color = i => `var(--c${i % 8})`;
const several = runs.length > 1;
// Tokens or images, as all runs count.
const unit = runs.every(run => run.unit === runs[0].unit) ? runs[0].unit : 'tokens or images';
const capital = text => text[0].toUpperCase() + text.slice(1);
const judged = runs.some(run => run.summary.accuracy !== undefined);
// Names of the parts of the loss.
const parts = [...new Set(runs.flatMap(run => run.parts))];
const readable = name => name.replaceAll('_', ' ');

// Two runs of one name are told apart by their folders.
const nameOf = run => runs.filter(r => r.name === run.name).length > 1 ? run.folder : run.name;

// [label, value, unit, note] of what is known of a run; a note says what the value is of.
const summaryOf = run => {
  const s = run.summary, unit = (v, what) => what.text(v).split(' '), between = (a, b) => a === b ? `step ${a}` : `mean of steps ${a} to ${b}`;
  return [
    s.steps && ['Training loss', ...(s.loss === null ? ['–', '', 'never finite'] : [number(s.loss), '', between(...s.loss_steps)])],
    s.validation_loss !== null && ['Validation loss', number(s.validation_loss), '', 'step ' + s.validation_step +
      (number(s.best_loss) === number(s.validation_loss) ? '' : `, best ${number(s.best_loss)} at ${s.best_step}`)],
    ['Steps', s.steps, run.total_steps ? 'of ' + run.total_steps : '', s.not_finite ? s.not_finite + ' not finite' : ''],
    s.accuracy !== undefined && ['Accuracy', number(s.accuracy), '%', 'step ' + s.validation_step],
    s.load_per_second !== null && ['Speed', count.text(s.load_per_second), run.unit + '/s', 'median of the steps'],
    s.steps && run.load_per_step && [capital(run.unit), count.text(s.steps * run.load_per_step), '', count.text(run.load_per_step) + ' per step'],
    s.seconds !== null && ['Time', duration(s.seconds), '', s.step_seconds === null ? '' : seconds.text(s.step_seconds) + ' per step, median'],
    s.peak_memory_bytes && ['Peak memory', ...unit(s.peak_memory_bytes, bytes), 'of the rank that used most'],
  ].filter(Boolean);
};

function drawSummary() {
  const nothing = runs.filter(run => run.summary.steps === 0).map(run => el('div', {class: 'card notice'},
    `${nameOf(run)}: no step has been measured yet, its metrics.jsonl is empty.`));
  if (!several) {
    const tiles = summaryOf(runs[0]).map(([label, value, unit, note]) => el('div', {class: 'card tile'}, el('div', {class: 'label'}, label),
      el('div', {class: 'value'}, String(value), ...(unit ? [el('span', {class: 'unit'}, unit)] : [])), el('div', {class: 'note'}, note)));
    byId('summary').replaceChildren(el('div', {class: 'tiles'}, ...tiles), ...nothing);
    return;
  }
  const heads = ['Training loss', 'Validation loss', ...(judged ? ['Accuracy'] : []), 'Steps', 'Speed',
    ...[...new Set(runs.map(run => capital(run.unit)))], 'Time', 'Peak memory'];
  const table = el('table', {}, el('tr', {}, el('th', {}, 'Run'), ...heads.map(h => el('th', {class: 'number'}, h))));
  runs.forEach((run, i) => {
    const known = new Map(summaryOf(run).map(([label, ...rest]) => [label, rest]));
    const cell = ([value, unit, note]) => [`${value} ${unit}`, el('div', {class: 'note'}, note)];
    table.append(el('tr', {}, el('td', {}, chipOf(run, i)),
      ...heads.map(h => el('td', {class: 'number'}, ...(known.has(h) ? cell(known.get(h)) : [])))));
  });
  byId('summary').replaceChildren(el('div', {class: 'card scroll'}, table), ...nothing);
}
const dotOf = i => el('span', {class: 'dot', style: `background:${color(i)}`});
const chipOf = (run, i) => el('span', {class: 'chip'}, dotOf(i), nameOf(run));

// x values on the chosen axis, of steps and of evaluations ([step, time, loss]).
const axes = {
  step: {x: count, xTitle: 'step', whole: true, xText: v => 'step ' + v, of: run => run.columns.step, ofValidation: () => v => v[0]},
  tokens: {x: count, xTitle: unit, xText: v => count.text(v) + ' ' + unit, of: run => run.columns.step.map(s => s * run.load_per_step),
    ofValidation: run => v => v[0] * run.load_per_step},
  time: {x: seconds, xTitle: 'time since the start', xText: duration, of: run => run.columns.time, ofValidation: () => v => v[1]},
};

// The values of single steps, faint, and their running mean on top.
const curve = (column, {what = '', smoothed = true, dash = '', key = '', hue = 0} = {}) => (run, i) => {
  const y = run.columns[column];
  if (!y) return [];
  const label = [several ? nameOf(run) : '', what].filter(Boolean).join(', ') || 'value';
  const base = {x: axes[state.axis].of(run), label, color: color(several ? i : hue), dash, key: i === runs.findIndex(r => r.columns[column]) ? key : ''};
  if (!smoothed || state.smooth === 0 || y.length < 2) return [{...base, y}];
  return [{...base, y, key: base.key && key + ', single steps', faint: true},
          {...base, y: smooth(y, state.smooth), raw: y, key: base.key && key + ', running mean'}];
};
// What `pick` takes of evaluations ([step, time, loss, accuracy, {part: [loss, accuracy]}]); runs that do not have it have no curve.
const evaluated = (pick, what, {dash = '', hue = 1} = {}) => (run, i) => {
  const known = run => run.validation.filter(v => pick(v) !== undefined), all = known(run);
  return all.length ? [{x: all.map(axes[state.axis].ofValidation(run)), y: all.map(pick), label: several ? nameOf(run) + ', ' + what : what,
    color: color(several ? i : hue), dash, dots: true, key: runs.findIndex(r => known(r).length) === i ? what : ''}] : [];
};

const charts = [
  {title: 'Loss', unit: 'nat per ' + unit.replace(/s\b/g, ''), wide: true, what: plain, log: true, parts: [
   curve('loss', {what: 'training', key: 'training'}), evaluated(v => v[2], 'validation', {dash: several ? '6 4' : ''})]},
  ...parts.map(name => ({title: 'Loss: ' + readable(name), unit: 'nat per target', what: plain, log: true, parts: [
   curve(name + '_loss', {what: 'training', key: 'training'}), evaluated(v => v[4][name]?.[0], 'validation', {dash: several ? '6 4' : ''})]})),
  ...(judged ? [{title: 'Validation accuracy', unit: '%', wide: true, what: plain, parts: [
   evaluated(v => Object.keys(v[4]).length ? undefined : v[3] ?? undefined, 'accuracy', {hue: 0}),
   ...parts.map((name, k) => evaluated(v => v[4][name]?.[1] ?? undefined, readable(name), {hue: k, dash: k ? '2 4' : ''}))]}] : []),
  {title: 'Gradient norm', unit: 'before clipping', what: plain, parts: [curve('grad_norm')], zero: true},
  {title: 'Learning rate', unit: '', what: plain, parts: [curve('learning_rate', {smoothed: false})], zero: true},
  {title: 'Speed', unit: unit + ' per second, all ranks', what: count, parts: [curve('load_per_second')], zero: true},
  {title: 'Time of a step', unit: '', what: seconds, zero: true, parts: [curve('step_seconds')]},
  {title: 'Waiting within a step', unit: '', what: seconds, zero: true, parts: [
   curve('communication_seconds', {what: 'communication', key: 'communication', smoothed: false}),
   curve('data_wait_seconds', {what: 'data', dash: '4 3', key: 'data', smoothed: false, hue: 1})]},
  {title: 'Peak memory', unit: 'of the rank that used most', what: bytes, parts: [curve('peak_memory_bytes', {smoothed: false})], zero: true},
];

function draw() {
  byId('smoothing').textContent = state.smooth.toFixed(2);
  byId('reset').hidden = state.range === null;
  for (const chart of charts) {
    const series = runs.flatMap((run, i) => state.off.has(i) || !run.summary.steps ? [] : chart.parts.flatMap(part => part(run, i)));
    chart.view.draw(series, {...axes[state.axis], range: state.range, log: chart.log && state.log, outliers: state.outliers,
      onZoom: range => { state.range = range; draw(); }});
  }
}

function drawRuns() {
  byId('runs').replaceChildren(...(several ? runs : []).map((run, i) => {
    const chip = el('button', {type: 'button', class: 'chip' + (state.off.has(i) ? ' off' : '')},
      dotOf(i), nameOf(run));
    chip.addEventListener('click', () => { if (!state.off.delete(i)) state.off.add(i); drawRuns(); draw(); });
    return chip;
  }));
}

function drawSamples() {
  const all = runs.flatMap((run, i) => run.samples.map(s => ({...s, i, run}))).sort((a, b) => b.step - a.step || a.i - b.i);
  if (!all.length) return;
  const row = s => {
    const text = el('pre', {}, el('span', {class: 'prompt'}, s.prompt), s.text);
    const dot = several ? [dotOf(s.i)] : [];
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

// Long values break behind their separators, not within words.
const breakable = text => text.split(/(?<=[/,;:=_])/).flatMap((part, i) => i ? [el('wbr'), part] : [part]);

// One row per key; keys whose value is not the same in all runs come first.
function drawTable(id, title, pick, open) {
  const keys = [...new Set(runs.flatMap(run => Object.keys(pick(run))))];
  if (!keys.length) return;
  const differs = key => new Set(runs.map(run => String(pick(run)[key] ?? ''))).size > 1;
  const table = el('table', {}, ...(several ? [el('tr', {}, el('th', {}, ''), ...runs.map((run, i) =>
    el('th', {}, chipOf(run, i))))] : []));
  for (const key of [...keys.filter(differs), ...keys.filter(k => !differs(k))])
    table.append(el('tr', differs(key) ? {class: 'changed'} : {}, el('td', {class: 'mono'}, key),
      ...runs.map(run => el('td', {class: 'code'}, el('div', {}, ...breakable(String(pick(run)[key] ?? '')))))));
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
const modelOf = c => c['model.num_layers'] ? [`${JSON.parse(c['model.family'] ?? '""')} ${c['model.num_layers']} × ${c['model.hidden_size']}`] : [];
byId('title').textContent = several ? `${runs.length} runs` : runs[0].name;
byId('subtitle').textContent = several ? runs.map(nameOf).join(' · ') : [...modelOf(runs[0].config), runs[0].environment.ranks &&
  runs[0].environment.ranks + (runs[0].environment.ranks === 1 ? ' rank' : ' ranks'), runs[0].environment.host, runs[0].environment.started].filter(Boolean).join(' · ');
document.title = byId('title').textContent + ' · Colossal';
const measured = runs.filter(run => run.summary.steps);
const load = byId('axis').querySelector('[value=tokens]');
measured.every(run => run.load_per_step) ? load.textContent = unit : load.remove();
if (!measured.every(run => run.summary.seconds !== null)) byId('axis').querySelector('[value=time]').remove();
if (runs.some(run => run.stride > 1)) byId('thinned').textContent = ` Long runs are thinned: of ${nameOf(runs.find(run => run.stride > 1))} every ${
  runs.find(run => run.stride > 1).stride}th step is shown.`;
for (const id of ['charts', 'controls']) byId(id).hidden = !measured.length;
byId('axis').addEventListener('change', e => { state.axis = e.target.value; state.range = null; draw(); });
byId('smooth').value = state.smooth;
byId('smooth').addEventListener('input', e => { state.smooth = Number(e.target.value); draw(); });
byId('log').addEventListener('change', e => { state.log = e.target.checked; draw(); });
byId('outliers').addEventListener('change', e => { state.outliers = e.target.checked; draw(); });
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

}  // namespace colossal::train
