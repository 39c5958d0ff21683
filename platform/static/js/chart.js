/* Starts every <div class="chart" data-chart="ID">, whose data stands in <script type="application/json" id="ID">:
   {kind: "bar" | "line", stacked, horizontal, unit, labels: […], series: [{name, tone, values: […], stack}]}.
   In a stacked chart, series that name another `stack` stand beside it; a horizontal one reads from the top down.
   Colours come from the style sheet (--c-TONE or --TONE), so a change of theme repaints. Legend and tooltip are plain HTML:
   a content security policy without inline style leaves ECharts' own out, and so does its small build. */
(() => {
  "use strict";
  const charts = [];

  /** A colour as the browser resolves it; light-dark() in a variable is only text until something uses it. */
  function colour(name) {
    const probe = document.createElement("i");
    probe.style.color = `var(--c-${name}, var(--${name}))`;
    document.body.append(probe);
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  }

  function short(value) {
    const zh = document.documentElement.lang.startsWith("zh");
    return new Intl.NumberFormat(zh ? "zh-CN" : "en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  }

  function full(value, unit) {
    if (value === null || value === undefined) return "—";
    return new Intl.NumberFormat(document.documentElement.lang).format(value) + (unit ? ` ${unit}` : "");
  }

  /** Whether a series ends its bar: the last of its stack. */
  function last(shown, at) {
    return !shown.slice(at + 1).some((later) => later.stack === shown[at].stack);
  }

  function options(data, hidden) {
    const shown = data.series.filter((series) => !hidden.has(series.name));
    const bars = data.kind !== "line";
    const names = {
      type: "category", data: data.labels, boundaryGap: bars, axisTick: { show: false }, inverse: Boolean(data.horizontal),
      axisLine: { lineStyle: { color: colour("line") } }, axisLabel: { color: colour("ink-2"), hideOverlap: true },
    };
    const figures = {
      type: "value", minInterval: data.fractions ? undefined : 1, splitNumber: 4,
      splitLine: { lineStyle: { color: colour("line") } }, axisLabel: { color: colour("ink-2"), formatter: short },
    };
    return {
      animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      animationDuration: 250,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 4, right: 8, top: 14, bottom: 4, containLabel: true },
      xAxis: data.horizontal ? figures : names,
      yAxis: data.horizontal ? names : figures,
      series: shown.map((series, at) => ({
        type: bars ? "bar" : "line", name: series.name, data: series.values,
        stack: data.stacked ? series.stack || "all" : undefined, barMaxWidth: data.horizontal ? 20 : 42, symbol: "circle", symbolSize: 5, showSymbol: data.labels.length < 32,
        itemStyle: { color: colour(series.tone || "accent"), borderRadius: bars && last(shown, at) ? (data.horizontal ? [0, 3, 3, 0] : [3, 3, 0, 0]) : 0 },
        lineStyle: { width: 2 }, areaStyle: data.area ? { opacity: .12 } : undefined, emphasis: { disabled: true },
      })),
    };
  }

  function swatch(tone) {
    const square = document.createElement("i");
    square.className = `tone-${tone || "accent"}`;
    return square;
  }

  function legend(data, hidden, repaint) {
    const list = document.createElement("ul");
    list.className = "chart-legend";
    for (const series of data.series) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(swatch(series.tone), series.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(series.name)) hidden.add(series.name);
        button.setAttribute("aria-pressed", String(!hidden.has(series.name)));
        repaint();
      });
      item.append(button);
      list.append(item);
    }
    return list;
  }

  function tooltip(place, chart, data, hidden) {
    const tip = document.createElement("div");
    tip.className = "chart-tip";
    tip.hidden = true;
    place.append(tip);
    chart.getZr().on("mousemove", ({ offsetX, offsetY }) => {
      const inside = chart.containPixel("grid", [offsetX, offsetY]);
      const at = inside ? Math.round(data.horizontal
        ? chart.convertFromPixel({ yAxisIndex: 0 }, offsetY) : chart.convertFromPixel({ xAxisIndex: 0 }, offsetX)) : -1;
      tip.hidden = !(at in data.labels);
      if (tip.hidden) return;
      const head = document.createElement("b");
      head.textContent = data.labels[at];
      const rows = data.series.filter((series) => !hidden.has(series.name)).map((series) => {
        const row = document.createElement("div");
        const value = document.createElement("span");
        value.textContent = full(series.values[at], data.unit);
        row.append(swatch(series.tone), series.name, value);
        return row;
      });
      tip.replaceChildren(head, ...rows);
      const left = offsetX + 14 + tip.offsetWidth > place.clientWidth ? offsetX - tip.offsetWidth - 14 : offsetX + 14;
      tip.style.left = `${Math.max(0, left)}px`;
      tip.style.top = `${Math.max(0, Math.min(offsetY - 10, place.clientHeight - tip.offsetHeight))}px`;
    });
    chart.getZr().on("globalout", () => { tip.hidden = true; });
  }

  function begin(place) {
    const source = document.getElementById(place.dataset.chart);
    if (!source || place.dataset.started) return;
    place.dataset.started = "yes";
    const data = JSON.parse(source.textContent);
    const hidden = new Set();
    const canvas = document.createElement("div");
    canvas.style.height = "100%";
    place.append(canvas);
    const chart = window.echarts.init(canvas);
    const paint = () => chart.setOption(options(data, hidden), { notMerge: true });
    paint();
    tooltip(place, chart, data, hidden);
    if (data.series.length > 1) place.after(legend(data, hidden, paint));
    new ResizeObserver(() => chart.resize()).observe(canvas);
    charts.push(paint);
  }

  const start = (root) => root.querySelectorAll(".chart[data-chart]").forEach(begin);
  const repaint = () => charts.forEach((paint) => paint());
  start(document);
  document.addEventListener("htmx:load", (event) => start(event.detail.elt.parentElement || document));
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
})();
