// Small conveniences on top of pages that work without any script: copy buttons, submit-on-change, local times.
(() => {
  "use strict";
  const announce = (text) => {
    const region = document.getElementById("announcer");
    if (region) region.textContent = text;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = button.dataset.copy === "url" ? null : document.getElementById(button.dataset.copy);
    const text = source ? (source.value ?? source.textContent) : window.location.href;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text.trim());
      button.textContent = "Copied";
      announce("Copied to the clipboard");
    } catch {
      button.textContent = "Press Ctrl+C";
      if (source) window.getSelection().selectAllChildren(source);
    }
    setTimeout(() => (button.textContent = label), 1600);
  });

  // A file chosen for a text field is read into it, so that it can be seen and mended before it is sent.
  document.addEventListener("change", async (event) => {
    const input = event.target.closest("input[type=file][data-fills]");
    if (!input || !input.files.length) return;
    const target = document.getElementById(input.dataset.fills);
    if (target && input.files[0].size < 200_000) target.value = await input.files[0].text();
  });

  const localise = (root) => {
    for (const element of root.querySelectorAll("time[datetime][data-local]")) {
      const date = new Date(element.getAttribute("datetime"));
      if (!Number.isNaN(date.valueOf())) element.title = date.toLocaleString();
    }
  };
  document.addEventListener("DOMContentLoaded", () => localise(document));
  document.addEventListener("htmx:afterSettle", (event) => {
    localise(event.target);
    const note = event.target.querySelector?.("[data-announce]");
    if (note) announce(note.textContent);
  });
})();
