// The explorer's own script: the key in memory, states, keyboard, selection, downloads. No data is kept.
(() => {
  "use strict";
  const body = document.body;
  const view = document.getElementById("view");
  const notice = document.getElementById("notice");
  const one = (selector, within = document) => within.querySelector(selector);
  const needsKey = body.dataset.keys === "yes";
  let key = null; // never in an address, a cookie or a store
  let version = body.dataset.version;
  let seen = new Date();
  let wanted = location.pathname + location.search;
  let shortcuts = true;

  const say = (title, text, label, act) => {
    notice.replaceChildren();
    if (!title) return;
    const strong = document.createElement("strong");
    strong.textContent = title;
    notice.append(strong, text || "");
    if (label) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.textContent = label;
      button.addEventListener("click", act);
      notice.append(button);
    }
  };
  const load = (path) => window.htmx.ajax("GET", path, { target: "#view", swap: "innerHTML" });
  const again = () => { say(); load(wanted); };

  const askKey = (wrong) => {
    view.replaceChildren(one("#ask-key").content.cloneNode(true));
    one(".wrong", view).textContent = wrong || "";
    one("form", view).addEventListener("submit", (event) => {
      event.preventDefault();
      key = one("#key", view).value.trim();
      load(wanted);
    });
    one("#key", view).focus();
  };

  body.addEventListener("htmx:configRequest", (event) => {
    if (key) event.detail.headers.Authorization = `Bearer ${key}`;
  });
  body.addEventListener("htmx:historyCacheMiss", (event) => {
    wanted = location.pathname + location.search;
    if (key) event.detail.xhr.setRequestHeader("Authorization", `Bearer ${key}`);
  });
  body.addEventListener("htmx:beforeRequest", (event) => {
    wanted = event.detail.pathInfo.finalRequestPath || event.detail.pathInfo.requestPath;
    if (needsKey && !key) {
      event.preventDefault();
      askKey();
      return;
    }
    view.setAttribute("aria-busy", "true");
  });
  body.addEventListener("htmx:afterRequest", () => view.removeAttribute("aria-busy"));
  body.addEventListener("htmx:beforeSwap", (event) => {
    const answer = event.detail.xhr;
    const served = answer.getResponseHeader("X-Model-Version");
    if (answer.status === 200 && version && served && served !== version) {
      event.detail.shouldSwap = false;
      say("A new model is being served.", "You still see the old one, so that figures do not change under your hands.",
        "Show the new one", () => { version = served; again(); });
      return;
    }
    if (answer.status === 200) {
      version = served || version;
      seen = new Date();
      say();
      return;
    }
    refuse(answer);
  });
  body.addEventListener("htmx:sendError", () => offline());
  body.addEventListener("htmx:timeout", () => offline());
  const offline = () => say("The service does not answer.", `What you see is from ${clock()}.`, "Try again", again);
  const clock = () => seen.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

  const refuse = (answer) => {
    let problem = {};
    try { problem = JSON.parse(answer.responseText); } catch { /* no problem document */ }
    const status = answer.status;
    const id = answer.getResponseHeader("X-Request-ID") || "";
    if (status === 401) {
      key = null;
      askKey("This key is not valid, or no longer.");
    } else if (status === 403) {
      say("This key may not do that.", `${problem.detail || ""} Ask whoever created the key; reading goes on.`);
    } else if (status === 404) {
      say("There is nothing here.", problem.detail || "");
    } else if (status === 429) {
      wait(Number(answer.getResponseHeader("Retry-After")) || 5);
    } else if (status >= 500) {
      say("The scores could not be read just now.", `What you see is from ${clock()}. Request ${id.slice(0, 8)}.`, "Try again", again);
    } else {
      say(problem.title || `Refused (${status}).`, problem.detail || "");
    }
  };
  const wait = (seconds) => {
    if (seconds <= 0) return again();
    say(`Wait ${seconds} second${seconds === 1 ? "" : "s"}.`, "The limit of this key is reached; the page asks again by itself.");
    return setTimeout(wait, 1000, seconds - 1);
  };

  const dress = () => {
    const keyed = one(".keyed", view);
    if (keyed) keyed.hidden = !key;
    const tab = one("nav a[aria-current]", view);
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 40;
    const heading = one("h1", view);
    if (heading) document.title = `${heading.textContent} · Tributary explorer`;
    const rows = view.querySelectorAll("a.row");
    const current = one("a.row[aria-current]", view) || rows[0];
    rows.forEach((row) => row.setAttribute("tabindex", row === current ? "0" : "-1"));
    const box = one("[data-scatter]", view);
    if (box) scatter(box);
  };
  body.addEventListener("htmx:afterSettle", dress);
  body.addEventListener("htmx:historyRestore", dress);

  // Selecting customers: drag a rectangle, or move its corners with the arrows.
  const set = (low, high, worth) => {
    one("#gone_from").value = Math.max(0, low).toFixed(0);
    one("#gone_to").value = Math.min(100, high).toFixed(0);
    one("#worth").value = Number(worth.toPrecision(2));
    one("#selection").requestSubmit();
  };
  const scatter = (box) => {
    const svg = one("svg", box);
    const top = Number(svg.dataset.top);
    const rows = 400;
    let start = null;
    let drag = null;
    const at = (event) => {
      const frame = svg.getBoundingClientRect();
      return [Math.min(Math.max(event.clientX - frame.left, 0), frame.width), Math.min(Math.max(event.clientY - frame.top, 0), rows), frame.width];
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.target.matches(".corner") || event.button) return;
      start = at(event);
      drag = document.createElement("div");
      drag.className = "drag";
      box.append(drag);
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (!start) return;
      const now = at(event);
      drag.style.left = `${Math.min(start[0], now[0])}px`;
      drag.style.width = `${Math.abs(start[0] - now[0])}px`;
      drag.style.top = `${Math.min(start[1], now[1])}px`;
      drag.style.height = `${Math.abs(start[1] - now[1])}px`;
    });
    box.addEventListener("pointerup", (event) => {
      if (!start) return;
      const now = at(event);
      const first = start;
      start = null;
      drag.remove();
      if (Math.abs(first[0] - now[0]) < 5) return;
      const worth = 10 ** (top * (1 - Math.max(first[1], now[1]) / rows));
      set(100 * Math.min(first[0], now[0]) / now[2], 100 * Math.max(first[0], now[0]) / now[2], worth);
    });
    box.addEventListener("keydown", (event) => {
      const edge = event.target.dataset && event.target.dataset.edge;
      const step = { ArrowLeft: [-5, 1], ArrowRight: [5, 1], ArrowUp: [0, 1.25], ArrowDown: [0, 0.8] }[event.key];
      if (!edge || !step) return;
      event.preventDefault();
      const low = Number(one("#gone_from").value) + (edge === "low" ? step[0] : 0);
      const high = Number(one("#gone_to").value) + (edge === "high" ? step[0] : 0);
      set(low, high, Math.max(Number(one("#worth").value) || 1, 1) * step[1]);
      body.addEventListener("htmx:afterSettle", () => { const corner = one(`[data-edge=${edge}]`); if (corner) corner.focus(); }, { once: true });
    });
  };

  // Files come through fetch, so that the key goes in a header and nowhere else.
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const fetchFile = async (link) => {
    const headers = { Accept: link.dataset.accept || "*/*" };
    if (key) headers.Authorization = `Bearer ${key}`;
    try {
      const answer = await fetch(link.href, { headers });
      if (answer.ok) {
        const named = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "");
        save(await answer.blob(), link.dataset.name || (named && named[1]) || "download");
      } else {
        refuse({ status: answer.status, responseText: await answer.text(), getResponseHeader: (name) => answer.headers.get(name) });
      }
    } catch { offline(); }
  };
  const saveSvg = (link) => {
    const pane = link.closest(".pane");
    const sheet = [...document.styleSheets].flatMap((s) => [...s.cssRules]).map((rule) => rule.cssText).filter((text) => !text.startsWith("@font-face")).join("\n");
    const all = [...pane.querySelectorAll("svg:not(svg svg)")].filter((svg) => svg.getClientRects().length);
    let down = 0;
    const parts = all.map((svg) => {
      const copy = svg.cloneNode(true);
      const frame = svg.getBoundingClientRect();
      copy.setAttribute("y", down);
      copy.setAttribute("width", frame.width);
      copy.setAttribute("height", frame.height);
      down += frame.height;
      return copy.outerHTML;
    });
    const width = Math.max(...all.map((svg) => svg.getBoundingClientRect().width));
    const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${down}"><style>${sheet.replace(/[<&]/g, "")}</style>${parts.join("")}</svg>`;
    save(new Blob([text], { type: "image/svg+xml" }), "chart.svg");
  };

  body.addEventListener("click", (event) => {
    if (key && event.target.closest("a[hx-get]") && !event.ctrlKey && !event.metaKey) event.preventDefault();
    const hit = event.target.closest("[data-download],[data-copy],[data-help],[data-svg]");
    if (!hit) return;
    event.preventDefault();
    if (hit.matches("[data-download]")) fetchFile(hit);
    else if (hit.matches("[data-svg]")) saveSvg(hit);
    else if (hit.matches("[data-help]")) one("#help").showModal();
    else navigator.clipboard.writeText(location.href).then(() => say("The link is copied.", "It opens with these choices, and without your key."));
  });
  body.addEventListener("submit", (event) => {
    if (event.target.closest("#view")) event.preventDefault(); // a page that is left forgets the key
    if (!event.target.matches("[data-find]")) return;
    const id = one("[name=customer_id]", event.target).value.trim();
    if (!id) return;
    const path = `/explore/customers/${encodeURIComponent(id)}`;
    load(path).then(() => { if (one("h1", view) && wanted === path && !notice.textContent) history.pushState({ htmx: true }, "", path); });
  });
  one("#shortcuts").addEventListener("change", (event) => { shortcuts = event.target.checked; });

  body.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=radio]):not([type=checkbox]),select,textarea");
    const row = event.target.closest("a.row");
    if (row && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const rows = [...view.querySelectorAll("a.row")];
      const next = rows[rows.indexOf(row) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) { row.tabIndex = -1; next.tabIndex = 0; next.focus(); }
      return;
    }
    if (typing && event.key === "Escape") event.target.blur();
    if (typing || !shortcuts || event.ctrlKey || event.metaKey || event.altKey || one("#help").open) return;
    const tab = one(`[data-view="${event.key}"]`);
    if (tab) tab.click();
    else if (event.key === "?") one("#help").showModal();
    else if (event.key === "/") { const field = one("#find"); if (field) { event.preventDefault(); field.focus(); } }
    else if (event.key === "Escape") { const back = one("[data-clear],[data-back]", view); if (back) back.click(); }
    else if (/^[omsp]$/.test(event.key)) { const field = one(`[data-short=${event.key}]:checked`) || one(`select[data-short=${event.key}]`); if (field) { event.preventDefault(); field.focus(); } }
  });

  if (needsKey) askKey();
  else dress();
})();
