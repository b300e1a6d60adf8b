// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report_page.h"

namespace colossal::train {

const std::string_view kReportChart = R"js(
const SVG = 'http://www.w3.org/2000/svg';
const filled = (node, attributes, children) => {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const el = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

// A quantity: `units` for its axis, smallest first (none: plain numbers), `text` for single values.
const number = (v, scale = v) => {
  const size = Math.abs(scale), short = Number(v.toPrecision(4));
  return v === 0 ? '0' : size >= 1e5 || size < 1e-2 ? short.toExponential().replace('e+', 'e') : String(short);
};
const unitFor = (units, scale) => units?.findLast(([factor]) => Math.abs(scale) >= factor) ?? units?.[0] ?? [1, ''];
const inUnit = (v, [factor, name]) => Number((v / factor).toPrecision(3)) + name;
const quantity = units => ({units, text: v => v === 0 ? '0' : inUnit(v, unitFor(units, v))});
const plain = {text: v => number(v)};
const count = quantity([[1, ''], [1e3, 'k'], [1e6, 'M'], [1e9, 'B'], [1e12, 'T']]);
const bytes = quantity([[1, ' B'], [2 ** 10, ' KiB'], [2 ** 20, ' MiB'], [2 ** 30, ' GiB'], [2 ** 40, ' TiB']]);
const seconds = quantity([[1e-6, ' µs'], [1e-3, ' ms'], [1, ' s'], [60, ' min'], [3600, ' h']]);
const duration = v => v < 100 ? seconds.text(v) : v < 6000 ? Math.floor(v / 60) + ' min ' + Math.floor(v % 60) + ' s'
  : Math.floor(v / 3600) + ' h ' + Math.floor(v / 60 % 60) + ' min';

// [value, label]: about `wanted` round values from low to high, in the unit of the larger one.
const ticks = (low, high, wanted, {units}) => {
  const unit = unitFor(units, Math.max(Math.abs(low), Math.abs(high))), all = [];
  const label = v => units ? inUnit(v, unit) : number(v, Math.max(Math.abs(low), Math.abs(high)));
  if (!(high > low)) return [[low, label(low)]];
  const rough = (high - low) / unit[0] / Math.max(1, wanted), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= rough * 0.75) * unit[0];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) all.push(Number((k * step).toPrecision(10)));
  return all.map(v => [v, v === 0 ? '0' : label(v)]);
};
const logTicks = (low, high, what) => {
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const k of [1, 2, 5]) all.push(Number((k * 10 ** e).toPrecision(10)));
  const within = all.filter(v => v >= low && v <= high);
  return within.length >= 2 ? within.map(v => [v, number(v)]) : ticks(low, high, 5, what).filter(([v]) => v > 0);
};

// [least, largest] of one curve; a few values that would flatten all others (the first steps, mostly) are left out unless asked for.
const extent = (values, outliers) => {
  values.sort((a, b) => a - b);
  let low = values[0], high = values[values.length - 1];
  const at = share => values[Math.floor((values.length - 1) * share)], band = at(0.98) - at(0.02);
  if (!outliers && values.length > 40 && band > 0) {
    if (high - at(0.02) > 4 * band) high = at(0.98) + 0.3 * band;
    if (at(0.98) - low > 4 * band) low = at(0.02) - 0.3 * band;
  }
  return [low, high];
};
// An axis for all curves: what is rare in one may be the rule in another, so each is judged by itself.
const limits = (curves, zero, outliers) => {
  const all = curves.map(values => extent(values, outliers));
  let low = Math.min(...all.map(e => e[0])), high = Math.max(...all.map(e => e[1]));
  if (zero) low = Math.min(0, low);
  if (high > low) return [low, high];
  const pad = Math.abs(high) * 0.1 || 1;
  return [zero && low >= 0 ? 0 : low - pad, high + pad];
};

// Running mean that forgets with `weight`, corrected for its start; gaps stay gaps.
const smooth = (values, weight) => {
  let mean = 0, mass = 0;
  return values.map(v => {
    if (v === null) return null;
    mean = weight * mean + (1 - weight) * v;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
};

// [x, y] on the screen (null: a gap) to a path; where several fall into one column, their least and largest.
const path = points => {
  let text = '', open = false, column = null, low = 0, high = 0, last = 0;
  const put = y => { text += (open ? 'L' : 'M') + column + ' ' + y.toFixed(1) + (open ? '' : 'h0'); open = true; };
  const flush = () => {
    if (column === null) return;
    put(low);
    if (high !== low) put(high);
    if (last !== high) put(last);
    column = null;
  };
  for (const point of points) {
    if (point === null) { flush(); open = false; continue; }
    const x = Math.round(point[0] * 2) / 2, y = point[1];
    if (x !== column) { flush(); column = x; low = high = y; }
    low = Math.min(low, y); high = Math.max(high, y); last = y;
  }
  flush();
  return text;
};

const nearest = (xs, x) => {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] <= x) low = middle; else high = middle; }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
};

// One chart. series: [{label, color, x, y, raw, faint, dots, dash, key}], x ascending, `raw` the values that y is the mean of.
class Chart {
  constructor(parent, {title, unit, what, wide, zero}) {
    this.what = what; this.zero = zero; this.height = wide ? 350 : 225;
    this.box = el('div', {class: 'card chart' + (wide ? ' wide' : '')});
    this.legend = el('span', {class: 'legend'});
    this.svg = svg('svg', {height: this.height, role: 'img', 'aria-label': title});
    this.tip = el('div', {class: 'tip'}); this.tip.hidden = true;
    this.box.append(el('div', {class: 'title'}, el('span', {}, title, el('span', {class: 'unit'}, unit)), this.legend), this.svg, this.tip);
    parent.append(this.box);
    this.svg.addEventListener('pointermove', e => this.hover(e));
    this.svg.addEventListener('pointerleave', () => { this.tip.hidden = true; this.cross?.remove(); });
    this.svg.addEventListener('pointerdown', e => { if (e.button === 0) { this.from = this.at(e); this.svg.setPointerCapture(e.pointerId); } });
    this.svg.addEventListener('pointerup', e => this.release(e));
    this.svg.addEventListener('dblclick', () => this.view.onZoom(null));
  }
  at(e) { return e.clientX - this.svg.getBoundingClientRect().left; }
  release(e) {
    const a = this.from, b = this.at(e);
    this.from = undefined; this.brush?.remove();
    if (a !== undefined && this.area && Math.abs(a - b) > 6) this.view.onZoom([Math.min(a, b), Math.max(a, b)].map(p => this.ix(p)));
  }
  // view: {range: [x, x] or null, log, outliers, x: quantity of the axis, xTitle, onZoom}
  draw(series, view) {
    Object.assign(this, {series, view, area: null, cut: [], gaps: 0});
    this.tip.hidden = true;
    const width = this.width = this.svg.clientWidth || 600, known = series.filter(s => s.y.some(v => v !== null));
    this.svg.setAttribute('viewBox', `0 0 ${width} ${this.height}`);
    this.svg.replaceChildren();
    if (known.length) this.plot(known, {left: 62, right: width - 20, top: 12, bottom: this.height - 42});
    else this.svg.append(svg('text', {x: width / 2, y: this.height / 2, 'text-anchor': 'middle'}, 'no finite value'));
    this.drawLegend();
  }
  plot(series, area) {
    const {range, outliers} = this.view;
    let [x0, x1] = range ?? [Math.min(...series.map(s => s.x[0])), Math.max(...series.map(s => s.x[s.x.length - 1]))];
    const single = x0 === x1;
    if (single) { x0 -= 0.5; x1 += 0.5; }
    const curves = series.map(s => s.y.filter((v, i) => v !== null && s.x[i] >= x0 && s.x[i] <= x1)).filter(c => c.length);
    const log = this.view.log && curves.every(c => c.every(v => v > 0)), t = log ? Math.log10 : v => v, back = log ? v => 10 ** v : v => v;
    const [low, high] = curves.length ? limits(curves, this.zero && !log, outliers || log) : [0, 1];
    const pad = (t(high) - t(low)) * 0.05, top = t(high) + pad, bottom = t(low) - (this.zero && low === 0 ? 0 : pad);
    this.area = area;
    this.px = x => area.left + (x - x0) / (x1 - x0) * (area.right - area.left);
    this.ix = p => x0 + (Math.min(area.right, Math.max(area.left, p)) - area.left) / (area.right - area.left) * (x1 - x0);
    this.py = y => Math.min(area.bottom, Math.max(area.top, area.top + (top - t(y)) / (top - bottom) * (area.bottom - area.top)));
    this.beyond = y => t(y) > top || t(y) < bottom;

    const wanted = (area.bottom - area.top) / 44;
    this.drawAxes(log ? logTicks(back(bottom), back(top), this.what) : ticks(bottom, top, wanted, this.what),
      single ? ticks((x0 + x1) / 2, (x0 + x1) / 2, 1, this.view.x) : ticks(x0, x1, this.width / 110, this.view.x));
    const lines = svg('g', {class: 'lines', fill: 'none', 'stroke-linejoin': 'round', 'stroke-linecap': 'round'});
    this.svg.append(lines);
    for (const s of series) this.drawSeries(lines, s, x0, x1);
  }
  drawAxes(yTicks, xTicks) {
    const {left, right, top, bottom} = this.area;
    for (const [v, label] of yTicks) {
      const y = this.py(v);
      this.svg.append(svg('line', {class: 'gridline', x1: left, x2: right, y1: y, y2: y}),
        svg('text', {x: left - 8, y: y + 4, 'text-anchor': 'end'}, label));
    }
    for (const [v, label] of xTicks) {
      if (this.view.whole && !Number.isInteger(v)) continue;
      const x = this.px(v);
      this.svg.append(svg('line', {class: 'axis', x1: x, x2: x, y1: bottom, y2: bottom + 4}),
        svg('text', {x, y: bottom + 17, 'text-anchor': 'middle'}, label));
    }
    this.svg.append(svg('line', {class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom}),
      svg('text', {x: (left + right) / 2, y: bottom + 34, 'text-anchor': 'middle'}, this.view.xTitle));
  }
  // Everything stays inside the plot: what lies beyond it is drawn on its edge with a mark, steps without a number have one below.
  drawSeries(lines, s, x0, x1) {
    const inside = [...s.x.keys()].filter(i => s.x[i] >= x0 && s.x[i] <= x1);
    const points = inside.map(i => s.y[i] === null ? null : [this.px(s.x[i]), this.py(s.y[i])]);
    lines.append(svg('path', {d: path(points), stroke: s.color, 'stroke-width': s.faint ? 1 : 1.8, opacity: s.faint ? 0.35 : 1,
      'stroke-dasharray': s.dash || ''}));
    if (s.dots && points.length <= 200 || points.length === 1)
      for (const p of points) if (p) lines.append(svg('circle', {cx: p[0], cy: p[1], r: 3, fill: s.color}));
    if (s.raw) return;  // its values are a series of their own
    let marked = -Infinity;
    for (const i of inside) {
      const gap = s.y[i] === null, x = this.px(s.x[i]);
      if (!gap && !this.beyond(s.y[i])) continue;
      if (gap) this.gaps++; else this.cut.push(s.y[i]);
      if (x - marked < 8) continue;
      marked = x;
      const y = gap ? this.area.bottom : this.py(s.y[i]), up = y === this.area.top ? 6 : -6;
      lines.append(gap ? svg('path', {class: 'gap', d: `M${x - 3} ${y - 7}l6 6m0 -6l-6 6`})
        : svg('path', {class: 'cut', fill: s.color, d: `M${x} ${y}l3.5 ${up}h-7z`}));
    }
  }
  drawLegend() {
    const line = s => svg('svg', {width: 18, height: 8, style: 'width:18px'}, svg('line', {x1: 0, x2: 18, y1: 4, y2: 4, stroke: s.color,
      'stroke-width': s.faint ? 1 : 2, opacity: s.faint ? 0.5 : 1, 'stroke-dasharray': s.dash || ''}));
    const keys = this.series.filter(s => s.key).map(s => el('span', {class: 'key'}, line(s), s.key));
    if (this.cut.length) {
      const furthest = this.cut.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a);
      keys.push(el('span', {}, `▲ beyond the axis: ${this.cut.length}, as far as ${this.what.text(furthest)}`));
    }
    if (this.gaps) keys.push(el('span', {class: 'bad'}, `× not finite: ${this.gaps}`));
    this.legend.replaceChildren(...keys);
  }
  hover(e) {
    const p = this.at(e), a = this.area;
    this.cross?.remove(); this.brush?.remove();
    if (!a || p < a.left - 4 || p > a.right + 4) { this.tip.hidden = true; return; }
    if (this.from !== undefined) {
      const from = Math.min(a.right, Math.max(a.left, this.from)), to = Math.min(a.right, Math.max(a.left, p));
      this.brush = svg('rect', {class: 'brush', x: Math.min(from, to), width: Math.abs(to - from), y: a.top, height: a.bottom - a.top});
      this.svg.append(this.brush);
    }
    this.cross = svg('g');
    const x = this.ix(p), rows = [];
    let shown = null;
    for (const s of this.series) {
      if (s.faint || !s.x.length) continue;
      const i = nearest(s.x, x), value = (s.raw ?? s.y)[i];
      if (Math.abs(this.px(s.x[i]) - p) > 40) continue;
      if (shown === null || Math.abs(s.x[i] - x) < Math.abs(shown - x)) shown = s.x[i];
      if (value !== null) this.cross.append(svg('circle', {cx: this.px(s.x[i]), cy: this.py(value), r: 3.5, fill: s.color}));
      rows.push(el('div', {class: 'row'}, el('span', {class: 'dot', style: `background:${s.color}`}), el('span', {class: 'what'}, s.label),
        el('b', {}, value === null ? 'not finite' : this.what.text(value)),
        ...(s.raw && value !== null ? [el('span', {}, 'mean ' + this.what.text(s.y[i]))] : [])));
    }
    if (!rows.length) { this.tip.hidden = true; return; }
    this.cross.prepend(svg('line', {class: 'cross', x1: this.px(shown), x2: this.px(shown), y1: a.top, y2: a.bottom}));
    this.svg.append(this.cross);
    this.tip.replaceChildren(el('div', {class: 'row'}, el('b', {}, this.view.xText(shown))), ...rows);
    this.tip.hidden = false;
    const inner = this.svg.getBoundingClientRect(), outer = this.box.getBoundingClientRect(), at = inner.left - outer.left + p;
    this.tip.style.left = (p > this.width / 2 ? at - this.tip.offsetWidth - 14 : at + 14) + 'px';
    this.tip.style.top = inner.top - outer.top + 14 + 'px';
  }
}
)js";

}  // namespace colossal::train
