// Copies the pinned files out of node_modules and strips source-map pointers, which manifest storage refuses.
import { readFileSync, writeFileSync } from "node:fs";

const FILES = {
  "bootstrap/dist/css/bootstrap.min.css": "bootstrap.min.css",
  "bootstrap/LICENSE": "bootstrap.LICENSE",
  "plotly.js-cartesian-dist-min/plotly-cartesian.min.js": "plotly-cartesian.min.js",
  "plotly.js-cartesian-dist-min/LICENSE": "plotly.LICENSE",
};

for (const [from, to] of Object.entries(FILES)) {
  const text = readFileSync(`node_modules/${from}`, "utf8");
  writeFileSync(to, text.replace(/\n?(\/\/|\/\*)# sourceMappingURL=\S+?( ?\*\/)?\s*$/, "\n"));
}
