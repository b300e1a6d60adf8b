// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report_page.h"

namespace colossal::train {

const std::string_view kReportStyle = R"css(
:root { color-scheme: light;
  --page: #f5f6f8; --card: #ffffff; --ink: #1b1f27; --soft: #626b7a; --line: #e3e6eb; --grid: #edeff3; --accent: #2f6fde;
  --c0: #2f6fde; --c1: #e07b1f; --c2: #2a9d5c; --c3: #c2407e; --c4: #7a5bd0; --c5: #b08900; --c6: #12909f; --c7: #6b7280;
  --changed: #fff5d6; --axis: #a9b1be; --bad: #c8322b; }
:root[data-theme=dark] { color-scheme: dark;
  --page: #12151b; --card: #1a1e26; --ink: #e7eaf0; --soft: #98a2b3; --line: #2a303b; --grid: #232934; --accent: #6ea2ff;
  --c0: #6ea2ff; --c1: #f2a65a; --c2: #5fcf92; --c3: #ec7fb2; --c4: #ab93f0; --c5: #d9b84a; --c6: #4fc4d3; --c7: #9aa3b2;
  --changed: #39321b; --axis: #566072; --bad: #ff7a70; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main, header { max-width: 1480px; margin: 0 auto; padding: 0 24px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; padding-top: 28px; padding-bottom: 12px; }
h1, header .sub { overflow-wrap: anywhere; }
h1 { font-size: 24px; font-weight: 650; margin: 0; letter-spacing: -0.01em; }
header .sub { color: var(--soft); }
h2 { font-size: 16px; font-weight: 650; margin: 32px 0 10px; }
.grow { flex: 1; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(150px, 100%), 1fr)); gap: 12px; }
.tile { padding: 12px 14px; min-width: 0; }
.tile .label { color: var(--soft); font-size: 12px; }
.tile .value { font-size: 21px; font-weight: 620; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; overflow-wrap: anywhere; }
.unit { color: var(--soft); font-size: 12px; font-weight: 400; letter-spacing: 0; margin-left: 6px; }
.note { color: var(--soft); font-size: 12px; line-height: 1.35; }
.notice { padding: 28px 16px; margin: 12px 0; color: var(--soft); text-align: center; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 14px; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 550; font-size: 12px; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.code, pre, .mono { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
td.number .note { white-space: normal; min-width: 9ch; }
td.code > div { min-width: 22ch; max-width: 72ch; overflow-wrap: anywhere; }
tr.changed td { background: var(--changed); }
.scroll { overflow-x: auto; }
.controls { position: sticky; top: 0; z-index: 5; display: flex; flex-wrap: wrap; align-items: center; gap: 8px 22px;
  padding: 10px 16px; margin: 16px 0 12px; }
.controls label { display: flex; align-items: center; gap: 8px; color: var(--soft); font-size: 13px; }
.controls input[type=range] { width: 120px; accent-color: var(--accent); }
.controls input[type=checkbox] { accent-color: var(--accent); margin: 0; }
select, button { font: inherit; font-size: 13px; color: var(--ink); background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; padding: 3px 10px; cursor: pointer; }
button:hover, select:hover { border-color: var(--soft); }
[hidden] { display: none !important; }
.runs { display: flex; flex-wrap: wrap; gap: 6px; }
.runs:empty { display: none; }
.chip { display: inline-flex; align-items: center; gap: 7px; text-align: left; overflow-wrap: anywhere; }
td .chip { min-width: 16ch; }
.chip.off { opacity: 0.45; text-decoration: line-through; }
.dot { width: 10px; height: 10px; border-radius: 50%; display: inline-block; flex: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 12px; }
.chart { padding: 12px 14px 6px; position: relative; min-width: 0; display: flex; flex-direction: column; }
.chart.wide { grid-column: 1 / -1; }
.chart .title { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 16px; font-weight: 600; }
.chart .title .legend { font-weight: 400; font-size: 12px; color: var(--soft); display: flex; flex-wrap: wrap; gap: 2px 12px; }
.legend .key { display: inline-flex; align-items: center; gap: 5px; }
.chart > svg { display: block; width: 100%; margin-top: auto; touch-action: pan-y; cursor: crosshair; user-select: none; }
.chart text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.chart .gridline { stroke: var(--grid); }
.chart .axis { stroke: var(--axis); }
.chart .gap { stroke: var(--bad); stroke-width: 1.6; }
.bad { color: var(--bad); }
.chart .cross { stroke: var(--soft); stroke-dasharray: 3 3; }
.chart .brush { fill: var(--accent); opacity: 0.15; }
.tip { position: absolute; pointer-events: none; z-index: 4; background: var(--card); border: 1px solid var(--line); border-radius: 7px;
  box-shadow: 0 4px 14px rgb(0 0 0 / 0.14); padding: 6px 10px; font-size: 12px; white-space: nowrap; font-variant-numeric: tabular-nums; }
.tip .row { display: flex; align-items: center; gap: 7px; }
.tip .row .what { color: var(--soft); flex: 1; padding-right: 10px; }
.sample { padding: 10px 16px; border-bottom: 1px solid var(--line); display: grid; grid-template-columns: 150px 1fr; gap: 12px; }
.sample:last-child { border-bottom: 0; }
.sample pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.sample .prompt { color: var(--accent); }
.sample .where { color: var(--soft); font-size: 12px; display: flex; gap: 7px; align-items: center; align-self: start; }
details > summary { cursor: pointer; font-size: 16px; font-weight: 650; margin: 32px 0 10px; }
footer { color: var(--soft); font-size: 12px; padding: 28px 0 40px; }
@media (max-width: 640px) { main, header { padding-left: 14px; padding-right: 14px; } .sample { grid-template-columns: 1fr; } }
@media print { .controls { display: none; } body { background: white; } }
)css";

const std::string_view kReportBody = R"html(<header>
<h1 id="title">Run</h1><span class="sub" id="subtitle"></span><span class="grow"></span>
<button id="theme" type="button" title="light or dark">Dark</button>
</header>
<main>
<div id="summary"></div>
<div class="card controls" id="controls">
<div class="runs" id="runs"></div>
<label>x axis <select id="axis"><option value="step">step</option><option value="tokens">tokens</option><option value="time">time</option></select></label>
<label>smoothing <input id="smooth" type="range" min="0" max="0.99" step="0.01"><span id="smoothing"></span></label>
<label><input id="log" type="checkbox"> logarithmic loss</label>
<label><input id="outliers" type="checkbox"> outliers</label>
<span class="grow"></span>
<button id="reset" type="button" hidden>show all</button>
</div>
<div class="charts" id="charts"></div>
<div id="samples"></div>
<div id="config"></div>
<div id="environment"></div>
<footer>Drag across a chart to look closer, double-click to see all again. Faint lines are the values of single steps, strong
lines their running mean. ▲ a value beyond the axis, which “outliers” brings in.<span id="thinned"></span></footer>
</main>
)html";

}  // namespace colossal::train
