"use strict";

/* Tables: a click on a heading sorts by its column; empty fields stay last. Numbers are to the right, ids are links. */
const number = (text) => (/^\[?[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(?![\w.-])/.test(text) ? parseFloat(text.replace(/[[,]/g, "")) : NaN);

function sortBy(button) {
  const heading = button.closest("th");
  const headings = [...heading.parentElement.children];
  const column = headings.indexOf(heading);
  const numeric = heading.classList.contains("number");
  const start = numeric ? "descending" : "ascending"; // of numbers one looks for the largest
  const other = numeric ? "ascending" : "descending";
  const order = heading.getAttribute("aria-sort") === start ? other : start;
  headings.forEach((one) => one.setAttribute("aria-sort", one === heading ? order : "none"));
  const body = heading.closest("table").tBodies[0];
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => {
    const text = row.cells[column].textContent.trim();
    return { row, value: numeric ? number(text) : text, empty: text === "" || text === "-" };
  });
  rows.sort((a, b) => {
    if (a.empty || b.empty) return a.empty - b.empty;
    return sign * (numeric ? a.value - b.value : a.value.localeCompare(b.value, "en", { numeric: true }));
  });
  body.append(...rows.map((one) => one.row));
}

function prepare(table) {
  const box = document.createElement("div");
  const attributes = { class: "scroll", role: "region", "aria-label": table.caption.textContent, tabindex: "0" };
  for (const [key, value] of Object.entries(attributes)) box.setAttribute(key, value);
  table.replaceWith(box);
  box.append(table);
  const rows = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const name = heading.textContent;
    const cells = rows.map((row) => row.cells[column]);
    const filled = cells.filter((cell) => cell.textContent.trim() !== "" && cell.textContent !== "-");
    if (filled.length && filled.every((cell) => !Number.isNaN(number(cell.textContent))))
      [heading, ...cells].forEach((cell) => cell.classList.add("number"));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = name;
    button.addEventListener("click", () => sortBy(button));
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    heading.setAttribute("scope", "col");
    cells.forEach((cell) => decorate(cell, name, cell.textContent, table.closest("#commands") !== null));
  });
}

function decorate(cell, name, text, isTarget) {
  if (name === "command") cell.classList.add("command");
  if (name === "route" || name === "aligned" || name === "baseline") cell.classList.add("route", `route-${text}`);
  if (name !== "run") return;
  if (isTarget) cell.parentElement.id = `run-${text}`;
  const link = document.createElement("a");
  link.href = `#run-${text}`;
  link.textContent = text;
  cell.replaceChildren(link);
}

document.querySelectorAll("table").forEach(prepare);

/* Retrieved items: one group per language and method; only the cards of the chosen group are made. */
function gallery(data) {
  const $ = (id) => document.getElementById(id);
  const buttons = [...document.querySelectorAll(".filters button")];
  let shown = "all";

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value) made.setAttribute(key, value);
    made.append(...children); // text is text: nothing of a caption is read as HTML
    return made;
  };

  const options = (select, pairs) =>
    select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));

  function change(card) {
    const k = Number($("found").value);
    const [before, after] = card.ranks.map((rank) => rank <= k);
    if (before === after) return "unchanged";
    return after ? "gained" : "lost";
  }

  const order = (card) => ["gained", "lost", "unchanged"].indexOf(change(card));

  function item(group, which, right, place) {
    const box = element("div", { class: right ? "item right" : "item" });
    const said = right ? `place ${place}, the right one` : `place ${place}`;
    if (group.texts) box.append(element("p", { lang: "en", title: said }, group.texts[which]));
    else box.append(element("img", { src: data.pictures[which], alt: said, loading: "lazy", title: said }));
    return box;
  }

  const row = (group, label, places, wanted) =>
    element("div", { class: "found" }, element("span", {}, label),
      ...places.map((which, index) => item(group, which, which === wanted, index + 1)));

  function cardElement(group, card) {
    const kind = change(card);
    const sign = { gained: "▲ gained", lost: "▼ lost", unchanged: "= unchanged" }[kind];
    const [before, after] = card.ranks;
    const words = element("div", {},
      element("p", { class: "change" }, `${sign}: rank ${before} → ${after}`),
      element("h3", { lang: group.lang }, card.caption),
      element("p", { class: "english", lang: "en" }, card.english));
    if (card.query) words.append(element("p", { class: "english", lang: group.query_lang || group.lang }, `Searched with: ${card.query}`));
    const head = element("div", { class: "wanted" }, words);
    if (!group.texts) {
      const said = "the picture that the caption was written for";
      head.append(element("div", { class: "item" }, element("img", { src: data.pictures[card.wanted], alt: said, title: said })));
    }
    return element("article", { class: `card ${kind}`, tabindex: "0" }, head,
      row(group, "zero-shot", card.before, card.wanted), row(group, "trained", card.after, card.wanted));
  }

  const current = () => data.groups[Number($("route").value)];

  function draw() {
    const group = current();
    const words = $("search").value.trim().toLowerCase();
    const matching = group.cards.filter((card) => (shown === "all" || change(card) === shown) &&
      [card.caption, card.english, card.query || ""].some((text) => text.toLowerCase().includes(words)));
    matching.sort((a, b) => order(a) - order(b)); // stable: within a kind as the captions come
    $("cards").replaceChildren(...matching.map((card) => cardElement(group, card)));
    $("status").className = `route route-${group.look}`;
    const k = $("found").value;
    const all = group.counts[k];
    $("status").textContent = `${matching.length} of ${group.cards.length} captions here. Of all ${group.captions} test captions, at R@${k}: ` +
      `${all.gained} gained, ${all.lost} lost, ${all.unchanged} unchanged.`;
    $("origin").textContent = group.run;
    $("origin").href = `#run-${group.run}`;
  }

  function routes() {
    const language = $("language").value;
    options($("route"), data.groups.map((group, index) => [String(index), group]).filter(([, group]) => group.language === language)
      .map(([index, group]) => [index, group.label]));
    draw();
  }

  const languages = new Map(data.groups.map((group) => [group.language, group.name]));
  options($("language"), [...languages].sort((a, b) => a[1].localeCompare(b[1], "en")));
  $("language").value = data.groups[0].language; // the largest gain comes first
  $("language").addEventListener("change", routes);
  $("route").addEventListener("change", draw);
  $("found").addEventListener("change", draw);
  $("search").addEventListener("input", draw);
  $("controls").addEventListener("submit", (event) => event.preventDefault()); // Enter in the search box
  buttons.forEach((button) => button.addEventListener("click", () => {
    shown = button.dataset.filter;
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    draw();
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const cards = [...$("cards").children];
    const now = cards.indexOf(document.activeElement);
    const next = { j: now + 1, k: Math.max(now - 1, 0) }[event.key];
    if (event.key === "/") $("search").focus();
    else if (next !== undefined && cards[next]) cards[next].focus();
    else return;
    event.preventDefault();
  });
  routes();
}

const galleryData = document.getElementById("gallery-data");
if (galleryData) gallery(JSON.parse(galleryData.textContent));
