// Sets light or dark before the first paint and keeps the reader's choice; without it the page is light.
(() => {
  "use strict";
  const root = document.documentElement;
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("palimpsest-theme");
    } catch {
      return null; // storage may be refused; the system's choice then stands
    }
  };
  const apply = () => {
    const theme = stored() ?? (media.matches ? "dark" : "light");
    root.setAttribute("data-bs-theme", theme);
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.setAttribute("aria-pressed", String(theme === "dark"));
    }
    document.dispatchEvent(new CustomEvent("palimpsest:theme", { detail: theme }));
  };
  root.classList.add("js");
  apply();
  media.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("palimpsest-theme", next);
    } catch {
      root.setAttribute("data-bs-theme", next);
    }
    apply();
  });
})();
