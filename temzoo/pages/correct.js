"use strict";
// Corrections by hand: particles are chosen, excluded, taken in, merged and relabelled, and saved as
// JSON. Doubtful objects have rows behind those of the table, and are excluded from the start.
// The page is what report.js gives it: its rows, its micrographs and how it speaks.
const correcting = (page) => {
  const { one, all, made, say, data, index, viewer, digits, download, OUTLINES } = page;
  const { predictions } = data;
  const rows = [...data.rows], boxes = new Map();
  predictions.forEach((one, image) => {
    for (const [number, box, kind, area, diameter, border] of one?.doubtful ?? []) {
      const row = data.keys.map(() => null);
      Object.assign(row, { 0: image, 1: number, [index.class]: kind, [index.touches_border]: border,
        [index[`area_${one.unit}2`]]: area, [index[`diameter_${one.unit}`]]: diameter });
      boxes.set(rows.push(row) - 1, box);
    }
  });
  const button = one("#correct"), panel = one("#correcting"), body = one(".catalogue tbody");
  // Row → {gone, lead, kind, stated}: excluded; the row of the first of merged ones; class, and
  // whether the file must say so.
  const records = new Map();
  const past = [], future = [];
  let picks = new Set(), on = false, several = false;
  const numberOf = (k) => rows[k][1], imageOf = (k) => rows[k][0];
  const ownKind = (k) => rows[k][index.class];
  const kindOf = (k) => records.get(k)?.kind ?? ownKind(k);
  const isDoubtful = (k) => boxes.has(k);
  const isGone = (k) => records.get(k)?.gone ?? isDoubtful(k);
  const leadOf = (k) => records.get(k)?.lead ?? k;
  const parts = (k) => records.get(k)?.lead === undefined
    ? [k] : [...records.keys()].filter((other) => records.get(other).lead === leadOf(k));
  const leads = (ks) => [...new Set([...ks].map(leadOf))];
  const byNumber = (a, b) => numberOf(a) - numberOf(b);
  const MOST = 8; // numbers that are said
  const names = (ks) => {
    const found = leads(ks).sort(byNumber).map(numberOf);
    const more = found.length > MOST ? ` and ${found.length - MOST} more` : "";
    const where = data.images.length > 1 ? ` of ${data.images[imageOf([...ks][0])]}` : "";
    return `${found.slice(0, MOST).join(", ")}${more}${where}`;
  };
  const placeOf = new Map(rows.flatMap((row, k) => data.plates[row[0]]
    ? [[`${data.plates[row[0]]} ${row[1]}`, k]] : []));
  const plateOf = (k) => data.plates[imageOf(k)];
  const onPlate = (k) => plateOf(k) === page.current().number;

  // number and D50 of all, as summarize has them: sizes are of particles clear of the border
  const units = ["nm", "px"].filter((unit) => index[`area_${unit}2`] !== undefined);
  const unitOf = (k) => units.find((unit) => rows[k][index[`diameter_${unit}`]] !== null);
  const areaOf = (k) => rows[k][index[`area_${unitOf(k)}2`]];
  const shared = new Map(predictions.flatMap((one, image) => (one?.shared ?? []).map(
    ([a, b, area]) => [`${image} ${a} ${b}`, area])));
  const together = (ks) => { // {area, exact}: of a detector's objects pixels are shared
    let area = 0, overlaps = 0;
    const sorted = [...ks].sort(byNumber);
    sorted.forEach((k, place) => {
      area += areaOf(k);
      if (!shared.size) return;
      for (const other of sorted.slice(place + 1)) {
        const both = shared.get(`${imageOf(k)} ${numberOf(k)} ${numberOf(other)}`) ?? 0;
        area -= both;
        overlaps += both > 0;
      }
    });
    return { area, exact: overlaps < 3 };
  };
  const middle = (values) => {
    if (!values.length) return null;
    const sorted = Float64Array.from(values).sort(), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const figures = (corrected) => {
    const sizes = Object.fromEntries(units.map((unit) => [unit, []]));
    const found = { particles: 0, exact: true };
    const groups = new Map();
    for (let k = 0; k < rows.length; k += 1) {
      const record = corrected ? records.get(k) : undefined;
      if (corrected ? isGone(k) : isDoubtful(k)) continue;
      if (record?.lead !== undefined) {
        if (!groups.has(record.lead)) groups.set(record.lead, []);
        groups.get(record.lead).push(k);
        continue;
      }
      found.particles += 1;
      const unit = unitOf(k);
      if (unit && !rows[k][index.touches_border]) sizes[unit].push(rows[k][index[`diameter_${unit}`]]);
    }
    for (const [lead, ks] of groups) {
      found.particles += 1;
      const unit = unitOf(lead), { area, exact } = together(ks);
      found.exact &&= exact;
      if (unit && !ks.some((k) => rows[k][index.touches_border])) {
        sizes[unit].push(2 * Math.sqrt(area / Math.PI));
      }
    }
    for (const unit of units) found[unit] = middle(sizes[unit]);
    return found;
  };
  const shownUnits = () => units.filter((unit) => predicted[unit] !== null);
  const predicted = figures(false);
  const figureLine = (name, found) => {
    const line = made("tr");
    line.append(made("th", name, { scope: "row" }), made("td", String(found.particles)));
    for (const unit of shownUnits()) {
      line.append(made("td", `${found.exact ? "" : "≈ "}${digits(found[unit])}`));
    }
    return line;
  };
  const tell = () => {
    const head = made("tr");
    head.append(made("td"), made("th", "Particles", { scope: "col" }));
    for (const unit of shownUnits()) head.append(made("th", `D50 in ${unit}`, { scope: "col" }));
    const found = figures(true);
    one("thead", panel).replaceChildren(head);
    one("tbody", panel).replaceChildren(
      figureLine("As predicted", predicted), figureLine("Corrected", found));
    return [`${found.particles} particles`,
      ...shownUnits().map((unit) => `D50 ${digits(found[unit])} ${unit}`)].join(", ");
  };

  // what is seen of it
  const drawn = new Map(); // micrograph → its outlines by number, and paths that lie over them
  const sheet = (view) => {
    if (!drawn.has(view)) {
      const overlay = (name) => {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("class", name);
        one(".glow", view.svg).before(path);
        return path;
      };
      drawn.set(view, {
        outlines: new Map(all(OUTLINES, view.svg).map((path) => [Number(path.dataset.p), path])),
        together: overlay("together"), struck: overlay("struck"), picked: overlay("picked"),
      });
    }
    return drawn.get(view);
  };
  const draw = () => {
    const { outlines, ...over } = sheet(page.current());
    const outline = (k) => outlines.get(numberOf(k));
    const here = [...records.keys()].filter((k) => onPlate(k) && outline(k));
    const d = (ks) => ks.map((k) => outline(k)?.getAttribute("d") ?? "").join("");
    const cross = (k) => {
      const b = outline(k).getBBox();
      return `M${b.x} ${b.y}l${b.width} ${b.height}M${b.x} ${b.y + b.height}l${b.width} ${-b.height}`;
    };
    const centre = (k) => {
      const b = outline(k).getBBox();
      return `${b.x + b.width / 2} ${b.y + b.height / 2}`;
    };
    const merged = here.filter((k) => records.get(k).lead !== undefined && !isGone(k));
    const links = merged.filter((k) => k !== leadOf(k) && outline(leadOf(k)))
      .map((k) => `M${centre(leadOf(k))}L${centre(k)}`);
    over.together.setAttribute("d", d(merged) + links.join(""));
    over.struck.setAttribute("d", here.filter(isGone).map(cross).join(""));
    over.picked.setAttribute("d", on ? d([...picks].filter(onPlate)) : "");
  };
  const paint = (k) => { // an outline excluded, doubtful, or among those of its class
    const view = page.stages[plateOf(k) - 1];
    const path = sheet(view).outlines.get(numberOf(k));
    if (!path) return;
    const unsure = isDoubtful(k);
    path.classList.toggle("gone", isGone(k) && !unsure);
    if (unsure && isGone(k)) { one(".doubtful", view.svg).append(path); return; }
    const { classes } = predictions[imageOf(k)];
    if (classes.length < 2 && !unsure) return; // colours tell of something else
    const name = `c${(Math.max(0, classes.indexOf(kindOf(k))) % 6) + 1}`;
    if (path.parentNode.getAttribute("class") === name) return;
    if (unsure) path.classList.toggle("edge", Boolean(rows[k][index.touches_border]));
    const objects = one(".objects", view.svg);
    let group = one(`.${name}`, objects);
    if (!group) {
      group = document.createElementNS("http://www.w3.org/2000/svg", "g");
      group.setAttribute("class", name);
      objects.append(group);
    }
    group.append(path);
  };
  const dress = (tr, k) => {
    const gone = isGone(k), lead = records.get(k)?.lead;
    tr.classList.toggle("gone", gone);
    if (on) tr.setAttribute("aria-selected", String(picks.has(k)));
    if (!records.has(k) && !tr.dataset.corrected) return;
    tr.dataset.corrected = "yes"; // also when it is undone
    const cell = one('[data-key="particle"]', tr), kind = one('[data-key="class"]', tr);
    const others = lead === k ? parts(k).filter((other) => other !== k).sort(byNumber) : [];
    const joined = lead === undefined ? ""
      : lead === k ? ` + ${others.map(numberOf).join(" + ")}` : ` in ${numberOf(lead)}`;
    cell.textContent = `${numberOf(k)}${joined}`;
    if (gone) cell.append(made("span", " excluded", { class: "hidden" }));
    if (kind) kind.textContent = kindOf(k);
  };
  const refresh = () => {
    draw();
    for (const tr of all("tr[data-row]", body)) dress(tr, Number(tr.dataset.row));
  };

  // what is done to the chosen ones
  const told = (text) => {
    one("#corrected", panel).textContent = text;
    say(text);
  };
  const write = (pairs) => {
    const before = pairs.map(([k]) => [k, records.get(k)]);
    for (const [k, record] of pairs) {
      const asItWas = !record || (record.lead === undefined && !record.kind
        && Boolean(record.gone ?? isDoubtful(k)) === isDoubtful(k));
      if (!asItWas) records.set(k, record);
      else records.delete(k);
    }
    for (const [k] of pairs) paint(k);
    return before;
  };
  const change = (pairs, text) => {
    past.push({ pairs: write(pairs), text });
    future.length = 0;
    refresh();
    told(`${text}: ${tell()}`);
  };
  const living = () => [...picks].filter((k) => !isGone(k));
  const none = () => told(picks.size ? "Take it in first, with x" : "Choose a particle first");
  const exclude = () => {
    const ks = [...picks], gone = living().length > 0;
    if (!ks.length) { none(); return; }
    const again = ks.some(isDoubtful) ? "" : " again";
    change(ks.map((k) => [k, { ...records.get(k), gone }]),
      `${gone ? "Excluded" : `Taken in${again}`} ${names(ks)}`);
  };
  const merge = () => {
    const ks = living().sort(byNumber);
    if (leads(ks).length < 2) { told("Choose two particles or more, with Shift"); return; }
    // Areas are rounded here, and boxes have none: where that may matter the file states the class.
    const largest = Math.max(...ks.map(areaOf));
    const first = ks.find((k) => areaOf(k) === largest) ?? ks[0];
    const equals = new Set(ks.filter((k) => !(areaOf(k) < largest)).map(ownKind));
    const kind = kindOf(first), stated = kind !== ownKind(first) || equals.size > 1;
    change(ks.map((k) => [k, { gone: false, lead: ks[0], kind, stated }]), `Merged ${names(ks)}`);
  };
  const relabel = (kind) => {
    const ks = living();
    if (!ks.length) { none(); return; }
    if (ks.some((k) => !predictions[imageOf(k)].classes.includes(kind))) {
      told(`${kind} is no class of this prediction`);
      return;
    }
    const record = (k) => records.get(k)?.lead === undefined && ownKind(k) === kind
      ? { gone: false } : { ...records.get(k), kind, stated: true };
    change(ks.map((k) => [k, record(k)]), `Relabelled ${names(ks)} as ${kind}`);
  };
  const pick = (number, add) => { // of the current micrograph; null: none
    const k = placeOf.get(`${page.current().number} ${number}`);
    if (!add) picks = new Set();
    if (k !== undefined) {
      const drop = add && picks.has(k);
      for (const part of parts(k)) if (drop) picks.delete(part); else picks.add(part);
      if (isDoubtful(k) && isGone(k)) told(`${names([k])} is doubtful and not counted: x takes it in`);
    }
    refresh();
  };
  const doubtful = [...boxes.keys()].filter(plateOf)
    .sort((a, b) => plateOf(a) - plateOf(b) || byNumber(a, b));
  const next = () => { // doubtful object, after the chosen one or from this micrograph on
    if (!doubtful.length) { told("Nothing is doubtful"); return; }
    const last = doubtful.findIndex((k) => picks.has(k)), here = page.current().number;
    const place = last < 0 ? doubtful.findIndex((k) => plateOf(k) >= here) : last + 1;
    const k = doubtful[Math.max(0, place) % doubtful.length];
    page.turnTo(plateOf(k), { tell: false });
    page.choose(numberOf(k), { picture: true });
    pick(numberOf(k), false);
  };
  const step = (from, to, name) => {
    const last = from.pop();
    if (!last) { told(`Nothing to ${name}`); return; }
    to.push({ pairs: write(last.pairs), text: last.text });
    refresh();
    told(`${name === "undo" ? "Undone" : "Done again"}: ${last.text}: ${tell()}`);
  };
  const undo = () => step(past, future, "undo");
  const redo = () => step(future, past, "redo");

  // the file
  const written = () => {
    const found = new Map();
    for (const [k, record] of [...records].sort(([a], [b]) => imageOf(a) - imageOf(b) || byNumber(a, b))) {
      const image = imageOf(k);
      if (!found.has(image)) {
        found.set(image, { image: data.images[image], instances_sha256: predictions[image].sha256,
          exclude: [], merge: [], relabel: {}, include: {} });
      }
      const entry = found.get(image);
      if (isGone(k)) {
        if (!isDoubtful(k)) entry.exclude.push(numberOf(k));
        continue;
      }
      if (isDoubtful(k)) entry.include[numberOf(k)] = boxes.get(k);
      if (leadOf(k) === k) {
        if (record.lead === k) entry.merge.push(parts(k).sort(byNumber).map(numberOf));
        if (record.stated) entry.relabel[numberOf(k)] = record.kind;
      }
    }
    return JSON.stringify({ temzoo_corrections: 1, images: [...found.values()] });
  };
  let saved = written();
  const save = () => {
    saved = written();
    download("corrections.json", [saved, "\n"], "application/json");
    told("Saved corrections.json, where the browser keeps downloads");
  };
  addEventListener("beforeunload", (event) => {
    if (written() === saved) return;
    event.preventDefault();
    event.returnValue = ""; // older browsers ask for this alone
  });

  const doing = { exclude, next, merge, undo, redo, save };
  for (const each of all("[data-do]", panel)) each.addEventListener("click", doing[each.dataset.do]);
  const kinds = all("[data-kind]", panel);
  for (const each of kinds) each.addEventListener("click", () => relabel(each.dataset.kind));
  one("#several").addEventListener("click", (event) => { // where there is no Shift
    several = !several;
    event.target.setAttribute("aria-pressed", String(several));
  });
  button.addEventListener("click", () => {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    panel.hidden = !on;
    viewer.classList.toggle("correct", on);
    picks = new Set();
    if (on) tell();
    refresh();
  });
  document.addEventListener("keydown", (event) => {
    if (!on || event.target.closest?.("select, input, textarea")) return;
    const key = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    if (event.altKey) return;
    const shortcut = control ? { z: event.shiftKey ? redo : undo, y: redo }[key]
      : { x: exclude, delete: exclude, d: next, m: merge, u: undo, r: redo }[key]
        ?? (/^[1-9]$/.test(key) && kinds[key - 1] ? () => relabel(kinds[key - 1].dataset.kind) : null);
    if (!shortcut) return;
    event.preventDefault();
    shortcut();
  });
  return {
    dress,
    pick: (number, shift) => {
      if (on) pick(number, shift || (several && number !== null));
    },
    turned: () => {
      picks = new Set();
      draw();
    },
  };
};
