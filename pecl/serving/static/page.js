"use strict";

const MOST = 4; // queries side by side
const byId = (id) => document.getElementById(id);
const form = byId("form");
const queries = byId("queries");
const results = byId("results");
const status = byId("status");
const viewer = byId("viewer");

let languages = []; // {code, name, adapter} of the server
let shown = []; // buttons of the grid that a photograph was opened from
let place = 0; // of the photograph in the viewer among them
let latest = 0; // number of the newest search: answers to older ones are dropped

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text; // never as HTML
  if (className) made.className = className;
  return made;
}

function addQuery(text = "", language = "") {
  const row = byId("query").content.firstElementChild.cloneNode(true);
  row.querySelector("input").value = text;
  const select = row.querySelector("select");
  select.append(new Option("detected automatically", ""));
  for (const one of languages) select.append(new Option(one.name, one.code));
  select.value = languages.some((one) => one.code === language) ? language : "";
  row.querySelector(".remove").addEventListener("click", () => {
    row.remove();
    changed();
    queries.querySelector("input").focus();
  });
  queries.append(row);
  changed();
  return row;
}

function changed() {
  byId("add").disabled = queries.children.length >= MOST;
}

function asked() {
  return [...queries.children]
    .map((row) => ({ query: row.querySelector("input").value.trim(), language: row.querySelector("select").value }))
    .filter((one) => one.query);
}

async function ask(one, adapter) {
  const body = { query: one.query, top: Number(byId("top").value), adapter };
  if (one.language) body.language = one.language;
  const answer = await fetch("/search", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.error.message);
  return document;
}

async function search() {
  const all = asked();
  const number = ++latest;
  say("");
  if (!all.length) {
    results.replaceChildren();
    say("Write what is to be seen on the photographs.", true);
    return;
  }
  remember(all);
  say("Searching …");
  const compare = byId("compare").checked;
  const wanted = all.flatMap((one) => (compare ? [ask(one, true), ask(one, false)] : [ask(one, true)]));
  const answers = await Promise.allSettled(wanted);
  if (number !== latest) return;
  results.classList.toggle("wide", all.length === 1 && !compare);
  const step = compare ? 2 : 1;
  results.replaceChildren(...all.map((one, i) => column(one, answers.slice(i * step, i * step + step))));
  const wrong = answers.filter((answer) => answer.status === "rejected");
  const found = answers.reduce((sum, answer) => sum + (answer.value ? answer.value.photographs.length : 0), 0);
  if (wrong.length === answers.length) say(wrong[0].reason.message, true);
  else say(`${found} photographs for ${all.length === 1 ? "one query" : `${all.length} queries`}.`);
}

function column(one, [after, before]) {
  const made = element("section", undefined, "column");
  const heading = element("h2", one.query);
  heading.dir = "auto";
  made.append(heading);
  if (after.status === "rejected" || (before && before.status === "rejected")) {
    const failed = after.status === "rejected" ? after : before;
    made.append(element("p", failed.reason.message, "note wrong-note"));
    return made;
  }
  heading.lang = htmlLanguage(after.value.language);
  made.append(element("p", note(after.value), "note"));
  if (!before) {
    made.append(grid(after.value.photographs));
    return made;
  }
  const known = new Set(before.value.photographs.map((hit) => hit.id));
  const fresh = new Set(after.value.photographs.map((hit) => hit.id).filter((id) => !known.has(id)));
  const pair = element("div", undefined, "pair");
  for (const [title, answer, marked] of [
    ["Before: the tower alone", before.value, new Set()],
    [`After: ${after.value.model}, ${fresh.size} new`, after.value, fresh],
  ]) {
    const part = element("div");
    part.append(element("h3", title), grid(answer.photographs, marked));
    pair.append(part);
  }
  made.append(pair);
  return made;
}

function note(answer) {
  const row = languages.find((one) => one.code === answer.language);
  const name = row ? row.name : answer.language;
  const how = answer.language ? `${name}, detected automatically` : "language not detected";
  const guess = answer.detected ? `${how} (confidence ${answer.confidence.toFixed(2)})` : name;
  const adapted = answer.model.includes(":") ? `adapter ${answer.model}` : "no adapter: the tower alone";
  return `${guess}; ${adapted}`;
}

function htmlLanguage(code) {
  return code === "jp" ? "ja" : code || "";
}

function grid(hits, marked = new Set()) {
  const list = element("ol", undefined, "grid");
  for (const hit of hits) {
    const button = element("button", undefined, marked.has(hit.id) ? "shot fresh" : "shot");
    button.type = "button";
    const image = element("img");
    image.src = `/thumbnails/${encodeURIComponent(hit.id)}`;
    image.alt = hit.name;
    image.loading = "lazy";
    button.append(image, element("span", hit.score.toFixed(3), "score"));
    button.hit = hit;
    button.addEventListener("click", () => {
      shown = [...list.querySelectorAll(".shot")];
      open(shown.indexOf(button));
    });
    const item = element("li");
    item.append(button);
    list.append(item);
  }
  return list;
}

function open(at) {
  place = (at + shown.length) % shown.length;
  const { id, name, score } = shown[place].hit;
  byId("large").src = `/photographs/${encodeURIComponent(id)}`;
  byId("large").alt = name;
  byId("name").textContent = `${name}, ${score.toFixed(3)} (${place + 1} of ${shown.length})`;
  if (!viewer.open) viewer.showModal();
}

function say(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

function remember(all) {
  const address = new URLSearchParams();
  for (const one of all) {
    address.append("q", one.query);
    address.append("l", one.language);
  }
  if (byId("compare").checked) address.set("compare", "1");
  address.set("top", byId("top").value);
  history.replaceState(null, "", `?${address}`);
}

async function start() {
  let about;
  try {
    about = await (await fetch("/search")).json();
  } catch (error) {
    byId("about").textContent = "The server does not answer.";
    return;
  }
  languages = about.languages;
  const adapters = languages.filter((one) => one.adapter).length;
  byId("about").textContent = about.photographs
    ? `${about.photographs.toLocaleString("en")} photographs, ${adapters} languages with an adapter of ${about.model}.`
    : "There is nothing to search: start the server with pecl serve --index FOLDER.";
  const address = new URLSearchParams(location.search);
  const texts = address.getAll("q").slice(0, MOST);
  const codes = address.getAll("l");
  texts.forEach((text, i) => addQuery(text, codes[i]));
  if (!texts.length) addQuery();
  byId("compare").checked = address.get("compare") === "1";
  if ([...byId("top").options].some((option) => option.value === address.get("top"))) byId("top").value = address.get("top");
  form.querySelectorAll("input, select, button").forEach((one) => { one.disabled = !about.photographs; });
  changed();
  byId("add").disabled = byId("add").disabled || !about.photographs;
  if (texts.length && about.photographs) search();
  else queries.querySelector("input").focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
byId("add").addEventListener("click", () => addQuery().querySelector("input").focus());
byId("compare").addEventListener("change", () => { if (asked().length) search(); });
byId("top").addEventListener("change", () => { if (asked().length) search(); });
byId("before").addEventListener("click", () => open(place - 1));
byId("after").addEventListener("click", () => open(place + 1));
byId("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("close", () => shown[place] && shown[place].focus());
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
document.addEventListener("keydown", (event) => {
  if (viewer.open) {
    if (event.key === "ArrowLeft") open(place - 1);
    if (event.key === "ArrowRight") open(place + 1);
  } else if (event.key === "/" && !/^(INPUT|SELECT)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    queries.querySelector("input").focus();
  }
});
start();
