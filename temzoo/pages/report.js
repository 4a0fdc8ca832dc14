"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const made = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey; // to what is chosen
  const say = (text) => { one("#said").textContent = text; };
  const download = (name, parts, type) => {
    const link = made("a", "", { download: name });
    link.href = URL.createObjectURL(new Blob(parts, { type }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // light and dark
  const theme = one("#theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const nameTheme = () => { theme.textContent = dark() ? "Light page" : "Dark page"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    nameTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  nameTheme();

  // any table with data-sortable
  const compared = (a, b) => {
    if (a === b) return 0;
    if (a === null || a === "") return 1; // what is not known goes last either way
    if (b === null || b === "") return -1;
    return typeof a === "number" && typeof b === "number"
      ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const ordered = (rows, value, down) => [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const blank = (v) => v === null || v === "";
    return compared(x, y) * (down && !blank(x) && !blank(y) ? -1 : 1);
  });
  const turned = (headers, chosen, first) => {
    const before = chosen.getAttribute("aria-sort");
    const down = before ? before === "ascending" : first === "descending";
    for (const header of headers) header.removeAttribute("aria-sort");
    chosen.setAttribute("aria-sort", down ? "descending" : "ascending");
    return down;
  };
  for (const table of all("table[data-sortable]")) {
    const headers = all("thead th", table);
    const cell = (row, k) => {
      const raw = row.children[k].dataset.v ?? row.children[k].textContent.trim();
      return raw !== "" && !Number.isNaN(Number(raw)) ? Number(raw) : raw;
    };
    headers.forEach((header, k) => one("button", header)?.addEventListener("click", () => {
      const down = turned(headers, header, "ascending");
      const body = one("tbody", table);
      body.append(...ordered(all("tr:not(.total)", body), (row) => cell(row, k), down),
        ...all("tr.total", body));
    }));
  }

  const viewer = one(".viewer");
  if (!viewer) return;
  const OUTLINES = ":is(.objects, .doubtful) path";

  // zoom and pan: each stage shows the box [x, y, w, h] of its micrograph
  const plates = all(".plate");
  const stages = plates.map((plate, k) => {
    const stage = one(".stage", plate), svg = one("svg.view", plate);
    const [width, height] = [Number(stage.dataset.width), Number(stage.dataset.height)];
    return { plate, stage, svg, width, height, nm: Number(stage.dataset.nm) || 0,
      number: k + 1, box: [0, 0, width, height] };
  });
  let current = stages[0];
  const MOST = 40;
  const niceLength = (longest) => {
    const power = 10 ** Math.floor(Math.log10(longest));
    return [5, 2, 1].find((f) => f * power <= longest * (1 + 1e-9)) * power;
  };
  const lengthText = (nm) => {
    const [value, unit] = nm >= 1e6 ? [nm / 1e6, "mm"] : nm >= 1000 ? [nm / 1000, "µm"] : [nm, "nm"];
    return `${Number(value.toPrecision(3))} ${unit}`;
  };
  const show = (view) => {
    const [x, y, w, h] = view.box;
    view.svg.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
    const screen = view.stage.clientWidth || 800;
    view.svg.style.setProperty("--unit", w / screen);
    view.svg.classList.toggle("close", screen / w > 4);
    view.stage.classList.toggle("zoomed", w < view.width * 0.999);
    const bar = one(".bar", view.stage);
    if (bar) {
      const length = niceLength(w * view.nm * 0.25);
      one("i", bar).style.width = `${(100 * length) / (w * view.nm)}%`;
      one("span", bar).textContent = lengthText(length);
    }
    if (view === current) {
      one("#zoom-out").disabled = one("#zoom-all").disabled = w >= view.width * 0.999;
      one("#zoom-in").disabled = w <= (view.width / MOST) * 1.001;
    }
  };
  const place = (view, x, y, w) => {
    const width = Math.min(view.width, Math.max(view.width / MOST, w));
    const height = (width * view.height) / view.width;
    view.box = [Math.min(Math.max(x, 0), view.width - width),
      Math.min(Math.max(y, 0), view.height - height), width, height];
    show(view);
  };
  const zoom = (view, factor, at = [0.5, 0.5]) => {
    const [x, y, w, h] = view.box;
    const width = Math.min(view.width, Math.max(view.width / MOST, w / factor));
    const height = (width * view.height) / view.width;
    place(view, x + at[0] * (w - width), y + at[1] * (h - height), width);
  };
  const move = (view, across, down) => {
    const [x, y, w, h] = view.box;
    place(view, x + across * w, y + down * h, w);
  };
  const fit = (view) => place(view, 0, 0, view.width);
  const at = (view, event) => {
    const frame = view.stage.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  };

  for (const view of stages) {
    const { stage } = view;
    // The wheel scrolls the page until the micrograph is chosen by a click, or Ctrl is held.
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !stage.contains(document.activeElement)) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 33 : 1;
      zoom(view, Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), at(view, event));
    }, { passive: false });
    const down = new Map();
    let travelled = 0;
    stage.addEventListener("pointerdown", (event) => {
      down.set(event.pointerId, event);
      if (down.size === 1) travelled = 0;
    });
    stage.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      const frame = stage.getBoundingClientRect();
      const step = [event.clientX - before.clientX, event.clientY - before.clientY];
      travelled += Math.hypot(...step);
      if (travelled > 4 && !stage.hasPointerCapture(event.pointerId)) {
        stage.setPointerCapture(event.pointerId);
        stage.classList.add("dragging");
      }
      if (down.size === 1) {
        move(view, -step[0] / frame.width, -step[1] / frame.height);
      } else {
        const other = [...down.values()].find((e) => e.pointerId !== event.pointerId);
        const gap = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY) || 1;
        const middle = at(view, { clientX: (event.clientX + other.clientX) / 2,
          clientY: (event.clientY + other.clientY) / 2 });
        move(view, -step[0] / 2 / frame.width, -step[1] / 2 / frame.height);
        zoom(view, gap(event) / gap(before), middle);
      }
      down.set(event.pointerId, event);
    });
    const up = (event) => {
      down.delete(event.pointerId);
      if (!down.size) stage.classList.remove("dragging");
    };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
    // Two fingers on a picture that is not zoomed would otherwise zoom the whole page.
    stage.addEventListener("touchmove", (event) => {
      if (event.touches.length > 1) event.preventDefault();
    }, { passive: false });
    stage.addEventListener("click", (event) => {
      if (travelled > 4) return;
      const path = event.target.closest?.(OUTLINES);
      choose(path ? Number(path.dataset.p) : null, { table: true });
      correction?.pick(chosen, adds(event));
    });
    stage.addEventListener("dblclick", (event) => zoom(view, event.shiftKey ? 0.5 : 2, at(view, event)));
    stage.addEventListener("pointerover", (event) => {
      if (event.pointerType === "touch") return;
      const path = event.target.closest?.(OUTLINES);
      if (path) hover(Number(path.dataset.p)); else hover(null);
    });
    stage.addEventListener("pointerleave", () => hover(null));
    const keys = {
      "+": () => zoom(view, 1.5), "=": () => zoom(view, 1.5), "-": () => zoom(view, 1 / 1.5),
      0: () => fit(view), Home: () => fit(view),
      ArrowLeft: () => move(view, -0.15, 0), ArrowRight: () => move(view, 0.15, 0),
      ArrowUp: () => move(view, 0, -0.15), ArrowDown: () => move(view, 0, 0.15),
    };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") {
        choose(null, {});
        correction?.pick(null);
        fit(view);
        stage.blur();
        return;
      }
      if (!keys[event.key]) return;
      const still = event.key.startsWith("Arrow") && view.box[2] >= view.width * 0.999;
      if (still) return; // nothing to move: the page scrolls
      event.preventDefault();
      keys[event.key]();
    });
    new ResizeObserver(() => show(view)).observe(stage);
  }
  one("#zoom-in").addEventListener("click", () => zoom(current, 1.5));
  one("#zoom-out").addEventListener("click", () => zoom(current, 1 / 1.5));
  one("#zoom-all").addEventListener("click", () => fit(current));

  // what lies over the micrograph
  for (const button of all("[data-layer]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      const layer = button.dataset.layer;
      if (layer === "outline") viewer.classList.toggle("no-outline", !on);
      else viewer.classList.toggle(layer, on);
    });
  }

  // one micrograph at a time
  const strip = one(".strip");
  const shown = (number) => {
    current = stages[number - 1];
    for (const view of stages) view.plate.classList.toggle("current", view === current);
    for (const button of all("button", strip ?? viewer)) {
      if (button.dataset.plate) {
        button.setAttribute("aria-current", String(Number(button.dataset.plate) === number));
      }
    }
    show(current);
  };
  const turnTo = (number, { tell = true } = {}) => {
    if (number < 1 || number > stages.length) return;
    const another = current.number !== number;
    if (another) choose(null, {});
    shown(number);
    if (another) correction?.turned();
    const button = one(`[data-plate="${number}"]`, viewer);
    if (button && strip) strip.scrollLeft = button.offsetLeft - strip.clientWidth / 2;
    if (rows && !everywhere) list();
    if (tell) say(one("h3", current.plate).textContent);
  };
  for (const button of all("[data-plate]")) {
    button.addEventListener("click", () => {
      turnTo(Number(button.dataset.plate));
      if (!viewer.contains(button)) one("#micrographs").scrollIntoView();
    });
  }
  one("#next")?.addEventListener("click", () => turnTo((current.number % stages.length) + 1));
  one("#previous")?.addEventListener("click", () =>
    turnTo(((current.number + stages.length - 2) % stages.length) + 1));
  // Thumbnails come from the pictures themselves, which the file holds once.
  const thumbnails = () => all(".strip canvas").forEach((canvas, k) => {
    const source = one("image", stages[k].svg);
    const tall = 112, wide = Math.round((tall * stages[k].width) / stages[k].height);
    [canvas.height, canvas.width] = [tall, wide];
    if (!source) return;
    const picture = new Image();
    picture.onload = () => canvas.getContext("2d").drawImage(picture, 0, 0, wide, tall);
    picture.src = source.getAttribute("href");
  });
  thumbnails();

  // the table of particles
  const data = read("particles");
  const rows = data?.rows;
  let everywhere = false, sorted = null, listed = [], headed = "", drawn = 0;
  let chosen = null, hovered = null;
  const AT_ONCE = 400;
  const catalogue = one(".catalogue"), body = one(".catalogue tbody");
  const index = Object.fromEntries((data?.keys ?? []).map((key, k) => [key, k]));
  const plateOf = (row) => data.plates[row[0]];
  const pathOf = (number) => one(`${OUTLINES}[data-p="${number}"]`, current.svg);
  const edge = index.touches_border;

  const glow = () => {
    const number = hovered ?? chosen;
    const path = number === null ? null : pathOf(number);
    one(".glow", current.svg).setAttribute("d", path?.getAttribute("d") ?? "");
  };
  const rowOf = (number) => all("tr", body ?? viewer).find((tr) =>
    tr.dataset.row !== undefined && rows[tr.dataset.row][1] === number
    && plateOf(rows[tr.dataset.row]) === current.number);
  function hover(number) { hovered = number; glow(); }
  function choose(number, { table = false, picture = false } = {}) {
    chosen = number;
    glow();
    if (!rows) return;
    if (table && number !== null) {
      let position = listed.findIndex((k) => rows[k][1] === number
        && plateOf(rows[k]) === current.number);
      while (position >= drawn) more();
    }
    for (const tr of all('tr[aria-selected="true"]', body)) tr.setAttribute("aria-selected", "false");
    const tr = number === null ? null : rowOf(number);
    if (!tr) return;
    tr.setAttribute("aria-selected", "true");
    for (const other of all('tr[tabindex="0"]', body)) other.tabIndex = -1;
    tr.tabIndex = 0;
    if (table) {
      const top = tr.offsetTop - catalogue.clientHeight / 2;
      if (tr.offsetTop < catalogue.scrollTop + 40
        || tr.offsetTop + tr.offsetHeight > catalogue.scrollTop + catalogue.clientHeight) {
        catalogue.scrollTop = top;
      }
    }
    if (picture) bringIntoView(number);
    say(all("td, th", tr).map((cell, k) => `${data.heads[k] ?? ""} ${cell.textContent}`).join(", "));
  }
  const bringIntoView = (number, closer = false) => {
    const path = pathOf(number);
    if (!path) return;
    const b = path.getBBox();
    const scale = path.getCTM().d / path.getCTM().a;
    const [cx, cy] = [b.x + b.width / 2, (b.y + b.height / 2) * scale];
    const [x, y, w, h] = current.box;
    const outside = cx < x || cx > x + w || cy < y || cy > y + h;
    if (!closer && !outside) return;
    const width = closer ? Math.max(b.width, (b.height * scale * current.width) / current.height) * 4 : w;
    const wide = Math.min(current.width, Math.max(width, current.width / MOST));
    place(current, cx - wide / 2, cy - (wide * current.height) / current.width / 2, wide);
  };

  const digits = (value) => {
    if (value === null) return "–";
    if (typeof value !== "number" || value === 0) return String(value);
    const size = Math.floor(Math.log10(Math.abs(value) || 1));
    return value.toFixed(Math.min(4, Math.max(0, 2 - size)));
  };
  const correction = data?.predictions && one("#correct") ? correcting({ one, all, made, say, download,
    OUTLINES, data, index, stages, viewer, digits, turnTo, choose, current: () => current }) : null;
  const cellText = (key, value) =>
    key === "touches_border" ? (value ? "cut" : "") : key === "particle" ? String(value) : digits(value);
  // Of one micrograph without what none of its particles has, such as sizes in the other unit.
  const known = (key) => everywhere || key === "particle"
    || !listed.length || listed.some((k) => rows[k][index[key]] !== null);
  const keysShown = () => (everywhere ? ["image", ...data.shown] : data.shown.filter(known));
  const rowElement = (k) => {
    const row = rows[k], tr = made("tr", "", { "data-row": k, tabindex: -1, "aria-selected": "false" });
    for (const key of keysShown()) {
      const value = key === "image" ? data.images[row[0]] : row[index[key]];
      const words = key === "class" || key === "morphology" || key === "image" || key === "touches_border";
      const corrected = key === "class" || key === "particle" ? { "data-key": key } : {};
      tr.append(made("td", cellText(key, value), { ...corrected, ...(words ? { class: "words" } : {}) }));
    }
    if (edge !== undefined && row[edge]) tr.classList.add("out");
    correction?.dress(tr, k);
    return tr;
  };
  function more() {
    const part = listed.slice(drawn, drawn + AT_ONCE);
    body.append(...part.map(rowElement));
    drawn += part.length;
    one("#more").hidden = drawn >= listed.length;
  }
  function list() {
    listed = [...rows.keys()].filter((k) => everywhere || plateOf(rows[k]) === current.number);
    if (sorted) {
      const value = (k) => sorted.key === "image" ? data.images[rows[k][0]] : rows[k][index[sorted.key]];
      listed = ordered(listed, value, sorted.down);
    }
    if (headed !== (headed = keysShown().join())) heads(); // the button that was pressed stays
    body.replaceChildren();
    drawn = 0;
    more();
    const first = one("tr", body);
    if (first) first.tabIndex = 0;
    catalogue.scrollTop = 0;
    const where = everywhere ? `in ${data.images.length} micrographs` : "in this micrograph";
    one("#listed").textContent = `${listed.length} ${listed.length === 1 ? "particle" : "particles"} ${where}`;
  }
  const heads = () => {
    const header = one(".catalogue thead tr");
    header.replaceChildren(...keysShown().map((key) => {
      const words = key === "class" || key === "morphology" || key === "image" || key === "touches_border";
      const th = made("th", "", { scope: "col", ...(words ? { class: "words" } : {}) });
      const [name, unit] = data.names[key];
      const button = made("button", name, { type: "button" });
      if (unit) { th.append(button, made("small", unit)); } else th.append(button);
      if (sorted?.key === key) th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      button.addEventListener("click", () => {
        const numeric = !words && key !== "particle";
        sorted = { key, down: sorted?.key === key ? !sorted.down : numeric };
        turned(all("th", header), th, numeric ? "descending" : "ascending");
        th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        list();
        if (chosen !== null) choose(chosen, { table: true });
      });
      return th;
    }));
    data.heads = keysShown().map((key) => data.names[key].filter(Boolean).join(" in "));
  };
  if (rows) {
    const rowAt = (event) => event.target.closest("tr[data-row]");
    const take = (tr, { closer = false, add = false } = {}) => {
      const row = rows[tr.dataset.row], plate = plateOf(row);
      if (!plate) { say("Not pictured in this report"); return; }
      if (plate !== current.number) { turnTo(plate, { tell: false }); }
      choose(row[1], { picture: true });
      correction?.pick(row[1], add);
      if (closer) bringIntoView(row[1], true);
    };
    body.addEventListener("pointerover", (event) => {
      const tr = rowAt(event);
      const row = tr && rows[tr.dataset.row];
      hover(row && plateOf(row) === current.number ? row[1] : null);
    });
    body.addEventListener("pointerleave", () => hover(null));
    body.addEventListener("click", (event) => rowAt(event) && take(rowAt(event), { add: adds(event) }));
    body.addEventListener("dblclick", (event) => rowAt(event) && take(rowAt(event), { closer: true }));
    body.addEventListener("keydown", (event) => {
      const tr = rowAt(event);
      if (!tr) return;
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        take(tr, { closer: event.key === "Enter", add: event.shiftKey });
      } else if (step) {
        event.preventDefault();
        if (!tr[step] && event.key === "ArrowDown" && drawn < listed.length) more();
        const next = tr[step];
        if (!next) return;
        tr.tabIndex = -1;
        next.tabIndex = 0;
        next.focus({ preventScroll: true });
        next.scrollIntoView({ block: "nearest" });
        take(next, { add: event.shiftKey });
      }
    });
    one("#more").addEventListener("click", more);
    one("#which")?.addEventListener("change", (event) => {
      everywhere = event.target.value === "all";
      if (sorted?.key === "image" && !everywhere) sorted = null;
      list();
    });
    const quoted = (value) => {
      let text = value === null ? "" : value === true ? "True" : value === false ? "False" : String(value);
      // A spreadsheet would compute a name that begins like a formula.
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    one("#csv").addEventListener("click", () => {
      const lines = [["image", ...data.keys.slice(1)]];
      for (const row of rows) lines.push([data.images[row[0]], ...row.slice(1)]);
      const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
      download(data.file, ["\ufeff", text], "text/csv");
      say(`${rows.length} rows written to ${data.file}`);
    });
    // Particles that the border cuts are dashed: their sizes are not whole.
    if (edge !== undefined) {
      const cut = new Set(rows.filter((row) => row[edge]).map((row) => `${plateOf(row)} ${row[1]}`));
      for (const view of stages) {
        for (const path of all(".objects path", view.svg)) {
          if (cut.has(`${view.number} ${path.dataset.p}`)) path.classList.add("edge");
        }
      }
    }
  }
  shown(1);
  if (rows) list();
})();
