// Draws a server-built figure when it comes into view, in the colours of the current theme.
(() => {
  "use strict";
  const loaded = new Map();
  const load = (src) => {
    if (!loaded.has(src)) {
      loaded.set(
        src,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = src;
          script.onload = resolve;
          script.onerror = reject;
          document.head.append(script);
        }),
      );
    }
    return loaded.get(src);
  };

  const themed = (figure, width) => {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    const axis = { color: get("--pal-muted"), gridcolor: get("--pal-rule"), zerolinecolor: get("--pal-rule") };
    const data = figure.data.map((trace) => {
      const token = trace.meta?.colour;
      const colour = token ? get(`--pal-plot-${token}`) : null;
      const copy = structuredClone(trace);
      if (width < 640 && copy.mode === "markers+text") copy.mode = "markers"; // names would cover each other
      if (!colour) return copy;
      if (copy.marker) {
        copy.marker.color = colour;
        copy.marker.line = { ...copy.marker.line, color: colour };
      }
      if (copy.line) copy.line.color = colour;
      for (const name of ["error_x", "error_y"]) if (copy[name]) copy[name].color = colour;
      copy.textfont = { color: get("--pal-ink"), size: 12 };
      return copy;
    });
    const layout = structuredClone(figure.layout);
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: get("--pal-ink"), family: get("--pal-sans") || "sans-serif", size: 13 },
      hoverlabel: { bgcolor: get("--pal-surface"), bordercolor: get("--pal-rule"), font: { color: get("--pal-ink") } },
    });
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      layout[name] = { ...axis, ...layout[name] };
    }
    return { data, layout };
  };

  const draw = async (element) => {
    if (element.dataset.state) return;
    element.dataset.state = "loading";
    try {
      const [response] = await Promise.all([fetch(element.dataset.figure), load(element.dataset.plotly)]);
      if (!response.ok) throw new Error(`figure answered ${response.status}`);
      const figure = await response.json();
      const render = () => {
        const { data, layout } = themed(figure, element.clientWidth);
        return window.Plotly.react(element, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
      };
      element.replaceChildren();
      element.dataset.state = "drawn"; // before drawing: the state takes the padding away that the size is reckoned with
      await render();
      document.addEventListener("palimpsest:theme", render);
    } catch (error) {
      element.dataset.state = "failed";
      element.textContent = "The plot could not be loaded; the table below holds the same numbers.";
      console.warn(error);
    }
  };

  const watch = (root) => {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "200px" });
    for (const element of root.querySelectorAll("[data-figure]:not([data-state])")) observer.observe(element);
  };
  document.addEventListener("DOMContentLoaded", () => watch(document));
  document.addEventListener("htmx:afterSettle", (event) => watch(event.target));
})();
