// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report_page.h"

namespace colossal::train {

std::string_view report_chart() {
  return R"js(
const SVG = 'http://www.w3.org/2000/svg';
const el = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const svg = (name, attributes = {}) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

const number = (v, digits = 4) => {
  if (v === null || v === undefined || !Number.isFinite(v)) return 'nan';
  if (v === 0) return '0';
  const size = Math.abs(v);
  if (size >= 1e5 || size < 1e-3) return v.toExponential(2).replace('e+', 'e');
  return String(Number(v.toPrecision(digits)));
};
const scaled = (v, base, units) => {
  let unit = 0;
  while (Math.abs(v) >= base && unit + 1 < units.length) { v /= base; unit++; }
  return Number(v.toPrecision(3)) + units[unit];
};
const count = v => scaled(v, 1000, ['', 'k', 'M', 'B', 'T']);
const bytes = v => scaled(v, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
const seconds = v => {
  if (v === 0) return '0';
  if (v < 1e-3) return Number((v * 1e6).toPrecision(3)) + ' µs';
  if (v < 1) return Number((v * 1e3).toPrecision(3)) + ' ms';
  if (v < 100) return Number(v.toPrecision(3)) + ' s';
  if (v < 6000) return Math.floor(v / 60) + ' min ' + Math.round(v % 60) + ' s';
  return Math.floor(v / 3600) + ' h ' + Math.round(v / 60 % 60) + ' min';
};

// About `wanted` round values from low to high.
const ticks = (low, high, wanted, binary) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const power = binary ? 2 ** Math.floor(Math.log2(rough)) : 10 ** Math.floor(Math.log10(rough));
  const step = (binary ? [1, 2] : [1, 2, 2.5, 5, 10]).map(k => k * power).find(s => s >= rough * 0.999);
  const all = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) all.push(k * step);
  return all;
};
const logTicks = (low, high) => {
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const k of [1, 2, 5]) if (k * 10 ** e >= low && k * 10 ** e <= high) all.push(k * 10 ** e);
  return all.length >= 2 ? all : ticks(low, high, 5).filter(v => v > 0);
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

// Points to a path; where several fall into one column of the screen, their least and largest.
const path = (xs, ys, px, py) => {
  let text = '', open = false, column = null, low = 0, high = 0, last = 0;
  const put = (x, y) => { text += (open ? 'L' : 'M') + x.toFixed(1) + ' ' + y.toFixed(1); open = true; };
  const flush = () => {
    if (column === null) return;
    put(column, low);
    if (high !== low) put(column, high);
    if (last !== high) put(column, last);
    column = null;
  };
  for (let i = 0; i < xs.length; i++) {
    if (ys[i] === null || !Number.isFinite(ys[i]) || xs[i] === null) { flush(); open = false; continue; }
    const x = Math.round(px(xs[i]) * 2) / 2, y = py(ys[i]);
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

// One chart. series: [{label, color, x, y, strong, faint, dots, dash}], all x ascending.
class Chart {
  constructor(parent, {title, format, wide, zero, binary}) {
    this.format = format; this.zero = zero; this.binary = binary;
    this.box = el('div', {class: 'card chart' + (wide ? ' wide' : '')});
    this.legend = el('span', {class: 'legend'});
    this.box.append(el('div', {class: 'title'}, el('span', {}, title), this.legend));
    this.height = wide ? 340 : 210;
    this.svg = svg('svg', {height: this.height, role: 'img', 'aria-label': title});
    this.tip = el('div', {class: 'tip'}); this.tip.hidden = true;
    this.box.append(this.svg, this.tip);
    parent.append(this.box);
    this.svg.addEventListener('pointermove', e => this.hover(e));
    this.svg.addEventListener('pointerleave', () => { this.tip.hidden = true; this.cross?.remove(); });
    this.svg.addEventListener('pointerdown', e => { if (e.button === 0) { this.from = this.at(e); this.svg.setPointerCapture(e.pointerId); } });
    this.svg.addEventListener('pointerup', e => this.release(e));
    this.svg.addEventListener('dblclick', () => this.onZoom(null));
  }
  at(e) { return e.clientX - this.svg.getBoundingClientRect().left; }
  release(e) {
    const a = this.from, b = this.at(e);
    this.from = undefined; this.brush?.remove();
    if (a !== undefined && Math.abs(a - b) > 6) this.onZoom([Math.min(a, b), Math.max(a, b)].map(p => this.ix(p)));
  }
  draw(series, {range, log, xFormat, onZoom}) {
    this.series = series; this.onZoom = onZoom; this.xFormat = xFormat;
    this.tip.hidden = true;
    const width = this.width = this.svg.clientWidth || 600, height = this.height;
    const left = 58, right = 12, top = 10, bottom = 26;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    let x0 = Infinity, x1 = -Infinity;
    for (const s of series) if (s.x.length) { x0 = Math.min(x0, s.x[0]); x1 = Math.max(x1, s.x[s.x.length - 1]); }
    if (range) [x0, x1] = range;
    if (!(x1 > x0)) { x1 = x0 + 1; if (!Number.isFinite(x0)) { x0 = 0; x1 = 1; } }
    // A few outliers (the first steps, mostly) may leave the picture if they would flatten everything else.
    const values = [];
    for (const s of series) s.y.forEach((v, i) => {
      if (v !== null && s.x[i] >= x0 && s.x[i] <= x1 && !(s.faint && s.hasStrong) && (!log || v > 0)) values.push(v);
    });
    values.sort((a, b) => a - b);
    let y0 = values.length ? values[0] : 0, y1 = values.length ? values[values.length - 1] : 1;
    if (values.length > 40 && !log) {
      const typical = values[Math.floor(values.length * 0.98)], low = values[Math.floor(values.length * 0.02)];
      if (y1 - low > 4 * (typical - low) && typical > low) y1 = typical + (typical - low) * 0.3;
    }
    if (this.zero && !log) y0 = Math.min(0, y0);
    if (log && !(y0 > 0)) log = false;
    if (!(y1 > y0)) { const pad = Math.abs(y0) * 0.1 || 1; y0 -= this.zero && y0 >= 0 ? Math.min(pad, y0) : pad; y1 += pad; }
    const t = log ? Math.log10 : v => v, pad = (t(y1) - t(y0)) * 0.05;
    const lowT = t(y0) - (this.zero && y0 === 0 ? 0 : pad), highT = t(y1) + pad;
    const px = x => left + (x - x0) / (x1 - x0) * (width - left - right);
    const py = y => top + (highT - t(y)) / (highT - lowT) * (height - top - bottom);
    this.px = px; this.py = py; this.ix = p => x0 + (Math.min(width - right, Math.max(left, p)) - left) / (width - left - right) * (x1 - x0);
    this.area = {left, right: width - right, top, bottom: height - bottom};

    const back = log ? v => 10 ** v : v => v;
    for (const v of log ? logTicks(back(lowT), back(highT)) : ticks(lowT, highT, height / 48, this.binary)) {
      const y = py(v), label = svg('text', {x: left - 8, y: y + 4, 'text-anchor': 'end'});
      if (y < top - 1 || y > height - bottom + 1) continue;
      label.textContent = this.format(Number(v.toPrecision(10)));
      this.svg.append(svg('line', {class: 'gridline', x1: left, x2: width - right, y1: y, y2: y}), label);
    }
    for (const v of ticks(x0, x1, width / 110)) {
      const label = svg('text', {x: px(v), y: height - 8, 'text-anchor': 'middle'});
      label.textContent = xFormat(Number(v.toPrecision(10)));
      this.svg.append(label);
    }
    this.svg.append(svg('line', {class: 'axis', x1: left, x2: width - right, y1: height - bottom, y2: height - bottom}));
    const id = 'clip' + Chart.next++, clip = svg('clipPath', {id});
    clip.append(svg('rect', {x: left, y: 0, width: width - left - right, height: height - bottom + 1}));
    const lines = svg('g', {'clip-path': `url(#${id})`, fill: 'none', 'stroke-linejoin': 'round'});
    this.svg.append(clip, lines);
    for (const s of series) {
      lines.append(svg('path', {d: path(s.x, log ? s.y.map(v => v > 0 ? v : null) : s.y, px, py), stroke: s.color,
        'stroke-width': s.faint ? 1 : 1.8, opacity: s.faint ? 0.28 : 1, 'stroke-dasharray': s.dash || ''}));
      if (s.dots && s.x.length <= 200) s.x.forEach((x, i) => {
        if (s.y[i] !== null) lines.append(svg('circle', {cx: px(x), cy: py(s.y[i]), r: 3, fill: s.color}));
      });
    }
    this.legend.replaceChildren(...series.filter(s => s.key).map(s => {
      const line = svg('svg', {width: 18, height: 8, style: 'width:18px'});
      line.append(svg('line', {x1: 0, x2: 18, y1: 4, y2: 4, stroke: s.color, 'stroke-width': 2, 'stroke-dasharray': s.dash || ''}));
      return el('span', {class: 'key'}, line, s.key);
    }));
  }
  hover(e) {
    const p = this.at(e), a = this.area;
    this.cross?.remove(); this.brush?.remove();
    if (!a || p < a.left || p > a.right) { this.tip.hidden = true; return; }
    if (this.from !== undefined) {
      this.brush = svg('rect', {class: 'brush', x: Math.min(p, this.from), width: Math.abs(p - this.from), y: a.top, height: a.bottom - a.top});
      this.svg.append(this.brush);
    }
    this.cross = svg('g');
    const x = this.ix(p), rows = [];
    let shown = null;
    for (const s of this.series) {
      if (s.faint && s.hasStrong || !s.x.length) continue;
      const i = nearest(s.x, x);
      if (Math.abs(this.px(s.x[i]) - p) > 40) continue;
      if (shown === null || Math.abs(s.x[i] - x) < Math.abs(shown - x)) shown = s.x[i];
      if (s.y[i] !== null && this.py(s.y[i]) >= a.top)
        this.cross.append(svg('circle', {cx: this.px(s.x[i]), cy: this.py(s.y[i]), r: 3.5, fill: s.color}));
      const dot = el('span', {class: 'dot', style: `background:${s.color}`});
      rows.push(el('div', {class: 'row'}, dot, el('span', {class: 'what'}, s.label), el('b', {}, s.y[i] === null ? 'nan' : this.format(s.y[i]))));
    }
    if (!rows.length) { this.tip.hidden = true; return; }
    this.cross.prepend(svg('line', {class: 'cross', x1: this.px(shown), x2: this.px(shown), y1: a.top, y2: a.bottom}));
    this.svg.append(this.cross);
    this.tip.replaceChildren(el('div', {class: 'row'}, el('b', {}, this.xFormat(shown, true))), ...rows);
    this.tip.hidden = false;
    const inner = this.svg.getBoundingClientRect(), outer = this.box.getBoundingClientRect(), at = inner.left - outer.left + p;
    this.tip.style.left = (p > this.width / 2 ? at - this.tip.offsetWidth - 14 : at + 14) + 'px';
    this.tip.style.top = inner.top - outer.top + 14 + 'px';
  }
}
Chart.next = 0;
)js";
}

}  // namespace colossal::train
