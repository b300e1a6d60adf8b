#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at report pages in headless Chromium: is anything cut off, outside its plot, or not a number? Run it after changing the page.

    tools/check_report.py runs/quickstart/report.html     # exit 1 and one line per problem

Every page is seen in windows of 800, 1200, 1400 and 1920 pixels, on every x axis, with and without smoothing, logarithm and outliers.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

CHECK = r"""
addEventListener('error', e => problems.add('script: ' + e.message));
const problems = new Set();
const look = where => {
  const say = what => problems.add(where + ': ' + what);
  if (document.documentElement.scrollWidth > innerWidth) say('the page is wider than the window');
  for (const node of document.querySelectorAll('.tile, .tile > *, .title, .legend, .controls' + (innerWidth < 1400 ? '' : ', #summary .scroll')))
    if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth) say('cut off: ' + node.textContent);
  if (/\b(nan|undefined|infinity|null|\[object)/i.test(document.querySelector('main').innerText)) say('not a number in the text');
  for (const cell of document.querySelectorAll('td.code > div'))
    if (cell.clientWidth && (cell.clientWidth < 120 || cell.clientWidth > 640)) say(`a value ${cell.clientWidth} px wide: ` + cell.textContent);
  for (const {view} of charts) {
    const a = view.area, frame = {left: 0, right: view.width, top: 0, bottom: view.height};
    for (const node of view.svg.querySelectorAll('path, circle, line, text')) {
      const b = node.getBBox(), f = node.closest('.lines') ? a : frame, name = view.svg.getAttribute('aria-label');
      if (!(b.x >= f.left - 5 && b.x + b.width <= f.right + 5 && b.y >= f.top - 3 && b.y + b.height <= f.bottom + 3))
        say(`${name}: ${node.tagName} "${node.textContent}" outside: ${[b.x, b.y, b.x + b.width, b.y + b.height].map(Math.round)}`);
      if (/[N]aN|undefined/.test(node.outerHTML)) say(`${name}: ${node.tagName} is not a number`);
    }
    const labels = [...view.svg.querySelectorAll('text')].map(t => t.getBBox());
    labels.forEach((p, i) => labels.slice(i + 1).forEach(q => {
      if (p.x < q.x + q.width && q.x < p.x + p.width && p.y < q.y + q.height - 2 && q.y < p.y + p.height - 2) say('labels overlap');
    }));
  }
};
for (const option of byId('axis').options) for (const smooth of [0, 0.6]) for (const log of [false, true]) for (const outliers of [false, true]) {
  Object.assign(state, {axis: option.value, smooth, log, outliers});
  draw();
  look(`${innerWidth} px, ${option.value}, smoothing ${smooth}, log ${log}, outliers ${outliers}`);
}
document.body.replaceChildren(el('pre', {id: 'problems'}, JSON.stringify([...problems])));
"""


def problems(page, width):
    html = page.read_text().replace("</script>\n</body>", f"{CHECK}</script>\n</body>")
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "page.html"
        copy.write_text(html)
        done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom",
                               f"--window-size={width},900", copy.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="problems">(.*?)</pre>', done.stdout, re.S)
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) if found else ["the page's script failed"]


def main():
    bad = [f"{page}: {what}" for page in sys.argv[1:] for width in (800, 1200, 1400, 1920) for what in problems(pathlib.Path(page), width)]
    print("\n".join(bad) or f"report: {len(sys.argv) - 1} pages, nothing wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
