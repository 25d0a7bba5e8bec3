// Uploads an image archive from the submission form by the tus protocol: in pieces, with pause, and on after a break.
(() => {
  "use strict";
  const PIECE = 8 * 1024 * 1024; // small enough for any proxy's limits
  const STALL_MS = 60_000;
  const WAITS_S = [1, 2, 4, 8, 15, 30];
  const MARK = "palimpsest-upload"; // set while an upload of this browser is open
  const TUS = { "Tus-Resumable": "1.0.0" };

  const start = (root) => {
    const address = root.dataset.upload;
    const form = root.closest("form");
    const image = form.querySelector("#id_image");
    const file = root.querySelector("input[type=file]");
    const bar = root.querySelector("progress");
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const csrf = () => form.querySelector("[name=csrfmiddlewaretoken]").value;

    let job = null; // the upload on the page: {id, name, size, file, offset, phase, xhr, wake}
    let told = -1; // the last tenth that was read out

    // ---- what is shown -------------------------------------------------------------------------------------------
    const bytes = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} GB` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${Math.ceil(n / 1e3)} kB`);
    const span = (s) => (s >= 5400 ? `${Math.round(s / 3600)} h` : s >= 90 ? `${Math.round(s / 60)} min` : `${Math.max(1, Math.round(s))} s`);
    const say = (text) => (part("live").textContent = text);
    const LOOK = {
      sending: ["Uploading", "chip-busy"],
      waiting: ["Waiting for the connection", "chip-wait"],
      paused: ["Paused", "chip-wait"],
      checking: ["Being checked", "chip-busy"],
      done: ["Uploaded", "chip-good"],
      failed: ["Stopped", "chip-bad"],
    };

    const problem = (...lines) => {
      const box = part("problem");
      box.hidden = lines.length === 0;
      box.replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    };

    const phase = (name) => {
      job.phase = name;
      const [text, chip] = LOOK[name];
      part("state").textContent = text;
      part("state").className = `chip ${chip}`;
      part("pause").textContent = name === "sending" || name === "waiting" ? "Pause" : "Go on";
      part("pause").hidden = name === "checking" || name === "done" || !job.file;
      part("discard").hidden = name === "checking";
      part("progress").hidden = false;
      part("name").textContent = job.name;
      bar.setAttribute("aria-label", `Upload of ${job.name}`);
    };

    const figures = (offset) => {
      const now = performance.now();
      bar.max = job.size;
      bar.value = offset;
      const percent = Math.floor((100 * offset) / job.size);
      let text = `${bytes(offset)} of ${bytes(job.size)}, ${percent} %`;
      if (job.phase === "sending") {
        job.marks = [...job.marks.filter((mark) => now - mark.at < 10_000), { at: now, offset }];
        const [first] = job.marks;
        const rate = (1000 * (offset - first.offset)) / (now - first.at);
        if (now - first.at > 1500 && rate > 0) text += `, ${bytes(rate)}/s, about ${span((job.size - offset) / rate)} left`;
      }
      part("figures").textContent = text;
      const tenth = Math.floor(percent / 10);
      if (tenth !== told && job.phase === "sending") say(`${percent} % uploaded`);
      told = tenth;
    };

    const done = (found) => {
      phase("done");
      figures(job.size);
      image.value = job.image = found.image;
      part("result").hidden = false;
      part("result").replaceChildren("It will be submitted as ", Object.assign(document.createElement("code"), { textContent: found.image }));
      localStorageSet(null);
      say(`${job.name} is uploaded; the form can be submitted`);
      earlier();
    };

    const fail = (...lines) => {
      if (job) phase("failed");
      problem(...lines);
    };

    // ---- requests ------------------------------------------------------------------------------------------------
    const localStorageSet = (value) => {
      try {
        if (value) localStorage.setItem(MARK, value);
        else localStorage.removeItem(MARK);
      } catch {
        // storage may be refused; then a reload shows the upload only when “As a file” is chosen
      }
    };

    // Resolves with {status, header, json}; rejects when there is no answer. A connection that stands still is ended.
    const request = (method, url, { headers = {}, body = null, onSent = null, owner = null } = {}) =>
      new Promise((resolve, reject) => {
        const xhr = new XMLHttpRequest();
        let timer;
        const alive = () => {
          clearTimeout(timer);
          timer = setTimeout(() => xhr.abort(), STALL_MS);
        };
        xhr.open(method, url);
        for (const [name, value] of Object.entries({ "X-CSRFToken": csrf(), ...headers })) xhr.setRequestHeader(name, value);
        xhr.upload.onprogress = (event) => {
          alive();
          onSent?.(event.loaded);
        };
        xhr.onloadend = () => {
          clearTimeout(timer);
          if (owner) owner.xhr = null;
          if (xhr.status === 0) return reject(new Error("no answer"));
          let json = null;
          try {
            json = JSON.parse(xhr.responseText);
          } catch {
            // an answer without a body, or of a proxy
          }
          return resolve({ status: xhr.status, header: (name) => xhr.getResponseHeader(name), json });
        };
        if (owner) owner.xhr = xhr;
        alive();
        xhr.send(body);
      });

    const words = (answer) =>
      answer.json?.errors?.map((one) => `${one.field}${one.value ? ` “${one.value}”` : ""} ${one.problem}: ${one.remedy}.`) ?? [
        answer.status === 401 || answer.status === 403
          ? "You are not logged in any more. Log in again in another tab, then go on here."
          : answer.status === 404 || answer.status === 410
            ? "This upload is gone. Choose the file again to begin anew."
            : `The site answered ${answer.status}. Try again in a moment.`,
      ];
    const passes = (status) => [409, 423, 429, 460].includes(status) || (status >= 500 && status !== 507);
    const base64 = (array) => btoa(Array.from(array, (byte) => String.fromCharCode(byte)).join(""));
    const metadata = (values) =>
      Object.entries(values)
        .map(([key, value]) => `${key} ${base64(new TextEncoder().encode(value))}`)
        .join(",");
    const url = () => `${address}${job.id}/`;

    const checksum = async (piece) => {
      if (!window.crypto?.subtle) return {}; // only where the page came over https
      const digest = await crypto.subtle.digest("SHA-256", await piece.arrayBuffer());
      return { "Upload-Checksum": `sha256 ${base64(new Uint8Array(digest))}` };
    };

    // Sleeps, but not past the moment when the network is back or the person says “Go on”.
    const rest = (mine, seconds) =>
      new Promise((resolve) => {
        const end = () => {
          clearTimeout(timer);
          window.removeEventListener("online", end);
          mine.wake = null;
          resolve();
        };
        const timer = setTimeout(end, 1000 * seconds);
        window.addEventListener("online", end);
        mine.wake = end;
      });

    // ---- the upload ----------------------------------------------------------------------------------------------
    const running = (mine) => mine === job && (mine.phase === "sending" || mine.phase === "waiting");

    const send = async () => {
      const mine = job;
      let failures = 0;
      let ask = mine.offset > 0; // where the site stands, when that is not sure
      mine.marks = [];
      problem();
      phase("sending");
      while (running(mine) && mine.offset < mine.size) {
        let answer = null;
        try {
          if (ask) {
            answer = await request("HEAD", url(), { headers: TUS, owner: mine });
            if (answer.status === 200) mine.offset = Number(answer.header("Upload-Offset"));
          } else {
            const piece = mine.file.slice(mine.offset, mine.offset + PIECE);
            let sum;
            try {
              sum = await checksum(piece);
            } catch {
              fail("The file cannot be read any more. Choose it again to go on.");
              return;
            }
            if (!running(mine)) return;
            const from = mine.offset;
            answer = await request("PATCH", url(), {
              headers: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from), ...sum },
              body: piece,
              owner: mine,
              onSent: (sent) => running(mine) && figures(Math.min(mine.size, from + sent)),
            });
            if (answer.status === 204) mine.offset = Number(answer.header("Upload-Offset"));
          }
        } catch {
          answer = null; // no answer
        }
        if (!running(mine)) return;
        if (answer?.status === 204 || answer?.status === 200) {
          ask = false;
          failures = 0;
          if (mine.phase === "waiting") say("The upload goes on");
          phase("sending");
          figures(mine.offset);
          continue;
        }
        if (answer && !passes(answer.status)) {
          if (![401, 403, 507].includes(answer.status)) mine.file = null; // nothing to go on with
          fail(...words(answer));
          return;
        }
        ask = true;
        if (answer?.status === 409) continue; // the site knows better: ask it
        if (mine.phase !== "waiting") say("The connection is lost; the upload goes on by itself when it is back");
        phase("waiting");
        await rest(mine, WAITS_S[Math.min(failures, WAITS_S.length - 1)]);
        failures += 1;
      }
      if (running(mine)) await check();
    };

    const check = async () => {
      const mine = job;
      phase("checking");
      figures(mine.size);
      say(`${mine.name} has arrived and is being checked`);
      for (let tries = 0; mine === job; tries += 1) {
        try {
          const answer = await request("GET", url());
          if (mine !== job) return;
          if (answer.status !== 200) return fail(...words(answer));
          if (answer.json.state === "COMPLETE") return done(answer.json);
          if (answer.json.state === "REFUSED") return fail(...words({ json: { errors: answer.json.problems } }));
        } catch {
          // no answer: ask again
        }
        await rest(mine, tries < 5 ? 0.4 : 2);
      }
    };

    const fingerprintOf = (chosen) =>
      `web ${chosen.size} ${chosen.lastModified} ${chosen.name.replace(/[^\x20-\x7e]/g, "?").slice(0, 120)}`;

    const take = async (chosen) => {
      stop();
      job = null;
      problem();
      image.value = "";
      part("result").hidden = true;
      const fingerprint = fingerprintOf(chosen);
      let found;
      try {
        found = (await listed()).find((one) => one.fingerprint === fingerprint && one.size === chosen.size && one.state !== "REFUSED");
        if (!found) {
          const headers = { ...TUS, "Upload-Length": String(chosen.size), "Upload-Metadata": metadata({ filename: chosen.name, fingerprint }) };
          const answer = await request("POST", address, { headers });
          if (answer.status !== 201) return fail(...words(answer));
          found = answer.json;
        }
      } catch {
        return fail("The site cannot be reached. Choose the file again when the connection is back.");
      }
      job = { ...found, name: chosen.name, file: chosen, marks: [], xhr: null, wake: null };
      localStorageSet(job.id);
      earlier();
      if (found.state === "COMPLETE") return done(found);
      say(found.offset ? `${job.name} goes on where it was` : `${job.name} is being uploaded`);
      return found.state === "CHECKING" ? check() : send();
    };

    const stop = () => {
      if (!job || !["sending", "waiting"].includes(job.phase)) return;
      phase("paused");
      figures(job.offset);
      job.xhr?.abort();
      job.wake?.();
    };

    const drop = async (one) => {
      const sent = one.offset > 0 && one.state !== "REFUSED";
      if (sent && !window.confirm(`Discard ${one.filename ?? one.name}? What was uploaded of it is lost.`)) return;
      const mine = job?.id === one.id;
      if (mine) stop();
      try {
        const answer = await request("DELETE", `${address}${one.id}/`, { headers: TUS });
        if (![204, 404, 410].includes(answer.status)) return problem(...words(answer));
      } catch {
        return problem("The site cannot be reached. Try again when the connection is back.");
      }
      if (image.value && image.value === one.image) image.value = "";
      if (mine) {
        job = null;
        part("progress").hidden = true;
        part("result").hidden = true;
        image.value = "";
        file.value = "";
        localStorageSet(null);
      }
      problem();
      say("Discarded");
      await earlier();
      file.focus();
    };

    // ---- what was uploaded before --------------------------------------------------------------------------------
    const listed = async () => {
      const answer = await request("GET", address);
      return answer.status === 200 ? answer.json : [];
    };

    const button = (text, label, act) => {
      const made = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-line btn-sm", textContent: text });
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      return made;
    };

    const earlier = async () => {
      let found = [];
      try {
        found = (await listed()).filter((one) => one.id !== job?.id && one.state !== "REFUSED");
      } catch {
        return;
      }
      const rows = found.map((one) => {
        const row = document.createElement("li");
        const what = Object.assign(document.createElement("span"), { className: "what" });
        const name = Object.assign(document.createElement("strong"), { textContent: one.filename });
        const share = `${bytes(one.offset)} of ${bytes(one.size)}`;
        const state = { COMPLETE: bytes(one.size), CHECKING: "being checked", RECEIVING: `${share}; choose the same file to go on` }[one.state];
        what.append(name, ` (${state})`);
        row.append(what);
        if (one.state === "COMPLETE") {
          row.append(
            button("Use it", `Use ${one.filename}`, () => {
              stop();
              job = { ...one, name: one.filename, file: null, marks: [] };
              problem();
              done(one);
            }),
          );
        }
        if (one.state !== "CHECKING") row.append(button("Discard", `Discard ${one.filename}`, () => drop(one)));
        return row;
      });
      part("earlier").hidden = rows.length === 0;
      part("earlier").querySelector("ul").replaceChildren(...rows);
    };

    // ---- the form ------------------------------------------------------------------------------------------------
    const radios = root.querySelectorAll("[name=image_from]");
    const chosenMode = () => [...radios].find((one) => one.checked).value;
    const show = () => {
      const byFile = chosenMode() === "file";
      part("reference").hidden = byFile;
      part("file").hidden = !byFile;
      if (byFile) earlier();
    };
    const mode = (name) => {
      for (const one of radios) one.checked = one.value === name;
      show();
    };

    for (const one of radios) one.addEventListener("change", show);
    file.addEventListener("change", () => file.files.length && take(file.files[0]));
    part("pause").addEventListener("click", () => {
      if (job.phase === "sending" || job.phase === "waiting") {
        stop();
        say("Paused");
      } else {
        send();
      }
    });
    part("discard").addEventListener("click", () => drop(job));
    form.addEventListener("submit", (event) => {
      if (chosenMode() !== "file" || image.value.startsWith("archive@")) return;
      event.preventDefault();
      problem(job ? "The upload is not finished yet. Submit when it says “Uploaded”." : "Choose the image archive first.");
      part("problem").scrollIntoView({ block: "center" });
    });

    let open = null;
    try {
      open = localStorage.getItem(MARK);
    } catch {
      // see localStorageSet
    }
    const before = image.value.startsWith("archive@") ? image.value : null;
    mode(before || open ? "file" : chosenMode());
    if (before) {
      listed().then((all) => {
        const one = all.find((item) => item.image === before);
        if (!one) return mode("reference"); // not one's own: shown as it was typed, with the reason beside it
        job = { ...one, name: one.filename, file: null, marks: [] };
        done(one);
        problem(...[...part("reference").querySelectorAll(".errorlist li")].map((item) => item.textContent));
      });
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.querySelector("[data-upload]");
    if (root) start(root);
  });
})();
