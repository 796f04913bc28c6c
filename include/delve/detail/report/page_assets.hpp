// SPDX-License-Identifier: MIT
#pragma once

#include <delve/version.hpp>

// What every page holds: how it looks, and what it does where scripts run. Nothing is fetched.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Contrasts are at least 4.5 on the ground they stand on (WCAG 2.2, 1.4.3).
inline constexpr const char* kPageStyle = R"css(
:root{color-scheme:light dark;--ground:#fff;--panel:#f5f7f9;--ink:#1b1f24;--soft:#55606b;--rule:#d3dae0;
--accent:#1f5f8f;--good:#1e6b3a;--warn:#8a4b00;--bad:#a4262c;--band:#e4e7ea;--tail:#fbe3dc;
--l0:#2f6f9f;--l1:#b4552b;--l2:#4a7d4a;--l3:#7a3e9d;--l4:#5c6670;--l5:#8a6d00}
@media (prefers-color-scheme:dark){:root{--ground:#11161b;--panel:#1a2128;--ink:#e7edf2;--soft:#a3b0bc;
--rule:#37424c;--accent:#7fb8e0;--good:#7ccf98;--warn:#f0b45f;--bad:#ff9d96;--band:#2b343d;--tail:#4a2a22;
--l0:#7fb8e0;--l1:#f0a27e;--l2:#8fce8f;--l3:#cf9cf0;--l4:#b5c0ca;--l5:#e0c25a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:1.2rem}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.note,.sub{color:var(--soft);margin:.2rem 0}
.verdict{background:var(--panel);border-left:6px solid var(--accent);padding:.8rem 1.1rem;border-radius:4px}
.verdict.tail{border-color:var(--bad)}.verdict.possible-tail{border-color:var(--warn)}
.verdict.no-tail{border-color:var(--good)}
.verdict>p:first-of-type{font-size:1.15rem;font-weight:600;margin:.1rem 0 .5rem;overflow-wrap:anywhere}
.verdict h3{font-size:.95rem;margin:.7rem 0 .1rem}.verdict ul{margin:0;padding-left:1.2rem}
.scroll{overflow-x:auto}
caption{text-align:left;caption-side:bottom;padding:.3rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child,.words{text-align:left}td.words{white-space:normal;min-width:18rem}
thead th{vertical-align:bottom;background:var(--panel)}
tbody th{font-weight:400}
th button{all:unset;cursor:pointer;font:inherit;font-weight:600}
tbody th button{font-weight:400}.script tbody th button{text-decoration:underline;color:var(--accent)}
button:focus-visible,input:focus-visible,.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
tr.in-tail{background:var(--tail)}
.chart{width:100%;min-width:640px;height:auto;display:block}.chart.small{min-width:0;width:300px}
.chart text{font:12px system-ui,sans-serif;fill:var(--ink)}.chart.heat text{font-size:11px}
.chart .mark{font-weight:600;fill:var(--bad)}.chart .end{text-anchor:end}.chart .middle{text-anchor:middle}
.grid{stroke:var(--rule);fill:none}
rect.border,.swatch.border{fill:var(--band);background:var(--band)}rect.tail,.swatch.tail{fill:var(--tail);background:var(--tail)}
.line path{fill:none;stroke-width:2}
.l0 path{stroke:var(--l0)}.l0 circle{fill:var(--l0)}
.l1 path{stroke:var(--l1);stroke-dasharray:7 3}.l1 circle{fill:var(--l1)}
.l2 path{stroke:var(--l2);stroke-dasharray:1 4}.l2 circle{fill:var(--l2)}
.l3 path{stroke:var(--l3);stroke-dasharray:2 3}.l3 circle{fill:var(--ground);stroke:var(--l3);stroke-width:2}
.l4 path{stroke:var(--l4);stroke-dasharray:9 3 2 3}.l4 circle{fill:var(--ground);stroke:var(--l4);stroke-width:2}
.l5 path{stroke:var(--l5);stroke-dasharray:4 4}.l5 circle{fill:var(--ground);stroke:var(--l5);stroke-width:2}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.3rem 0;padding:0;font-size:.9rem}
.key{vertical-align:middle;margin-right:.4rem}.swatch{display:inline-block;width:18px;height:12px;margin-right:.4rem}
.spark path{fill:none;stroke:var(--l0);stroke-width:1.5}.spark circle{fill:var(--l0)}
.figures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:.9rem;overflow-wrap:anywhere}
.epochs{display:flex;gap:.8rem;align-items:center;flex-wrap:wrap;margin:.4rem 0}.epochs label{display:flex;gap:.6rem;flex:1;align-items:center}.epochs input{flex:1;min-width:160px}
.problems li{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem;margin:.4rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.only-script{display:none}.script .epochs{display:flex}.script .own{display:block}[hidden]{display:none!important}
.own{background:var(--panel);padding:.6rem 1rem;border-radius:4px;margin:.6rem 0}
@media (max-width:640px){main{padding:.7rem}body{font-size:15px}dl{grid-template-columns:1fr}}
@media print{:root{--ground:#fff;--ink:#000;--panel:#f5f7f9}.only-script{display:none!important}
.chart{min-width:0}.scroll{overflow:visible}h2{break-after:avoid}th button{display:contents;color:inherit}figure,tr,.verdict{break-inside:avoid}
table{font-size:.7rem}th,td{padding:.1rem .3rem}}
)css";

/// The slider of epochs, sorting, and a layer's own curves. Without it the page shows the last
/// epoch in the order of the layers.
inline constexpr const char* kPageScript = R"js(
"use strict";
document.documentElement.classList.add("script");
for (const article of document.querySelectorAll("article.run")) {
  const data = JSON.parse(article.querySelector("script[type='application/json']").textContent);
  const shown = (value, kind) => {
    if (value === null || value === undefined) return "–";
    if (kind === "share") {
      // Of two equally near tenths the even one, as the page without a script has it.
      const tenths = 1000 * value, near = Math.round(tenths);
      const isTie = Math.abs(tenths - Math.trunc(tenths)) === 0.5;
      return ((isTie && near % 2 !== 0 ? near - 1 : near) / 10).toFixed(1) + " %";
    }
    if (kind === "count") return Math.trunc(value).toLocaleString("en-US");
    const number = Number(value.toPrecision(4)), size = Math.abs(number);
    if (size === 0 || (size >= 1e-4 && size < 1e16)) return String(number);
    return number.toExponential().replace(/e([+-])(\d)$/, (_, sign, digit) => "e" + sign + "0" + digit);
  };
  const at = (series, epoch, layer) => {
    const column = series.epochs.indexOf(epoch);
    const place = series.layers.indexOf(layer);
    return column < 0 || place < 0 ? null : series.values[column][place] ?? null;
  };
  const epochs = [...new Set(data.series.flatMap(series => series.epochs))].sort((a, b) => a - b);
  const slider = article.querySelector(".epochs input");
  const chart = article.querySelector(".layers svg.chart");
  const top = Number(chart?.dataset.top), height = Number(chart?.dataset.height);
  const show = () => {
    const epoch = epochs[slider.value];
    slider.setAttribute("aria-valuetext", "epoch " + epoch);
    article.querySelector(".epochs .number").textContent = epoch;
    article.querySelector("caption .epoch").textContent = epoch;
    for (const cell of article.querySelectorAll("td[data-s]")) {
      const series = data.series[cell.dataset.s];
      const value = at(series, epoch, Number(cell.dataset.l));
      cell.textContent = shown(value, series.kind);
      cell.dataset.v = value ?? "";
    }
    for (const head of article.querySelectorAll("[aria-sort]")) head.removeAttribute("aria-sort");
    for (const line of chart ? chart.querySelectorAll("g[data-s]") : []) {
      const series = data.series[line.dataset.s];
      let path = "";
      let drawing = false;
      for (const mark of line.querySelectorAll("circle")) {
        const layer = Number(mark.dataset.l);
        const value = at(series, epoch, layer);
        const there = value !== null;
        const y = there ? top + height * (1 - Math.min(1, Math.max(0, value))) : 0;
        if (there) path += (drawing ? "L" : "M") + mark.getAttribute("cx") + " " + y.toFixed(1);
        drawing = there;
        mark.setAttribute("cy", y.toFixed(1));
        mark.setAttribute("visibility", there ? "visible" : "hidden");
        mark.firstChild.textContent =
          data.layers[layer] + ": " + series.title + " " + shown(value, series.kind);
      }
      line.querySelector("path").setAttribute("d", path);
    }
  };
  if (slider && epochs.length > 0) {
    slider.max = epochs.length - 1;
    slider.value = epochs.length - 1;
    slider.addEventListener("input", show);
    addEventListener("beforeprint", () => { slider.value = slider.max; show(); });
    show();
  }
  const body = article.querySelector("table.layers-table tbody");
  const heads = article.querySelectorAll("table.layers-table thead th");
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      // Sorting by layer gives the order of the forward.
      const key = row => column === 0 ? row.querySelector("button").dataset.l
                                      : row.children[column].dataset.v ?? row.children[column].textContent;
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        const difference = Number(x) - Number(y);
        return (up ? 1 : -1) * (isNaN(difference) ? x.localeCompare(y) : difference);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
  const own = article.querySelector(".own");
  const draw = layer => {
    const width = 640, height = 220, left = 50, bottom = 26;
    const lines = data.series.filter(series => series.kind === "share");
    const first = epochs[0], last = epochs[epochs.length - 1];
    const x = epoch => left + (width - left - 10) * (last > first ? (epoch - first) / (last - first) : 0.5);
    const y = value => 10 + (height - 10 - bottom) * (1 - Math.min(1, Math.max(0, value)));
    const name = "http://www.w3.org/2000/svg";
    const make = (tag, attributes, parent, text) => {
      const node = document.createElementNS(name, tag);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (text !== undefined) node.textContent = text;
      parent.append(node);
      return node;
    };
    own.replaceChildren();
    const title = document.createElement("h3");
    title.textContent = data.layers[layer];
    const svg = document.createElementNS(name, "svg");
    svg.setAttribute("class", "chart");
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", data.layers[layer] + " over the epochs");
    for (const share of [0, 0.5, 1]) {
      make("path", {class: "grid", d: "M" + left + " " + y(share) + "H" + (width - 10)}, svg);
      make("text", {class: "end", x: left - 6, y: y(share) + 4}, svg, 100 * share + " %");
    }
    make("text", {x: left, y: height - 6}, svg, "epoch " + first);
    make("text", {class: "end", x: width - 10, y: height - 6}, svg, "epoch " + last);
    const legend = document.createElement("ul");
    legend.className = "legend";
    for (const series of lines) {
      const group = make("g", {class: "line " + series.line}, svg);
      let path = "", drawing = false;
      for (const epoch of series.epochs) {
        const value = at(series, epoch, layer);
        if (value !== null) path += (drawing ? "L" : "M") + x(epoch).toFixed(1) + " " + y(value).toFixed(1);
        drawing = value !== null;
        if (value === null) continue;
        const mark = make("circle", {role: "img", cx: x(epoch).toFixed(1), cy: y(value).toFixed(1), r: 2.5}, group);
        make("title", {}, mark, series.title + ", epoch " + epoch + ": " + shown(value, series.kind));
      }
      make("path", {d: path}, group);
      const item = document.createElement("li");
      const key = document.createElementNS(name, "svg");
      key.setAttribute("class", "key");
      key.setAttribute("viewBox", "0 0 34 10");
      key.setAttribute("width", "34");
      key.setAttribute("height", "10");
      key.setAttribute("aria-hidden", "true");
      make("path", {d: "M0 5H34"}, make("g", {class: "line " + series.line}, key));
      item.append(key, series.title);
      legend.append(item);
    }
    own.append(title, legend, svg);
    own.hidden = false;
  };
  for (const button of article.querySelectorAll("tbody th button")) {
    button.addEventListener("click", () => { draw(Number(button.dataset.l)); own.focus(); });
  }
}
)js";

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
