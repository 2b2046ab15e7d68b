import { byId, element, extend, grid, isOpen, onMoreLikeThis, smallPicture } from "./results.js";

const MOST = 4; // queries side by side
const MOST_EXAMPLES = 6;
const STEP = 48; // photographs that scrolling to the end adds
const MOST_PHOTOGRAPHS = 1000; // of an answer of the server
const EXAMPLES = { // by the code of their language; shown where the language has an adapter, and English always
  en: "a dog on the beach",
  cs: "pes na pláži",
  de: "ein Kind auf einem Fahrrad",
  fr: "un coucher de soleil sur la mer",
  ru: "кошка на диване",
  jp: "雪山と湖",
  ko: "꽃이 핀 정원",
  zh: "夜晚的城市",
  es: "una comida en la mesa",
  it: "una piazza di notte",
  pl: "góry zimą",
  tr: "kırmızı bir araba",
};
const form = byId("form");
const queries = byId("queries");
const results = byId("results");
const status = byId("status");

byId("options").open = matchMedia("(min-width: 37rem)").matches; // folded on a phone

let languages = []; // {code, name, adapter} of the server
let latest = 0; // number of the newest search: answers to older ones are dropped

function addQuery(text = "", language = "") {
  const row = byId("query").content.firstElementChild.cloneNode(true);
  row.querySelector("input").value = text;
  const select = row.querySelector("select");
  select.append(new Option("detect automatically", ""));
  for (const one of languages) select.append(new Option(one.name, one.code));
  select.value = languages.some((one) => one.code === language) ? language : "";
  return append(row);
}

function addPicture(name, image) {
  const row = byId("picture").content.firstElementChild.cloneNode(true);
  row.image = image;
  row.querySelector("img").src = image;
  row.querySelector(".text span").textContent = name;
  return append(row);
}

function append(row) {
  row.querySelector(".remove").addEventListener("click", () => {
    row.remove();
    if (!queries.children.length) addQuery();
    changed();
    focusText();
  });
  queries.append(row);
  changed();
  return row;
}

function changed() {
  byId("add").disabled = queries.children.length >= MOST;
}

function focusText() {
  const first = queries.querySelector("input");
  if (first) first.focus();
}

function asked() {
  return [...queries.children]
    .map((row) => row.image
      ? { image: row.image, title: `Like ${row.querySelector(".text span").textContent}` }
      : { query: row.querySelector("input").value.trim(), language: row.querySelector("select").value })
    .filter((one) => one.image || one.query);
}

async function ask(one, adapter, top = Number(byId("top").value) || STEP) {
  const body = { top, adapter };
  const folder = byId("in").value.trim();
  if (folder) body.folder = folder;
  for (const name of ["query", "image", "language"]) if (one[name]) body[name] = one[name];
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
    say("Describe the photo, or choose a picture.", true);
    return;
  }
  remember(all);
  say("Searching …");
  byId("examples").hidden = true;
  const compare = byId("compare").checked;
  const answers = await Promise.all(all.map((one) =>
    Promise.allSettled(compare && one.query ? [ask(one, true), ask(one, false)] : [ask(one, true)])));
  if (number !== latest) return;
  results.classList.toggle("wide", all.length === 1 && answers[0].length === 1);
  results.replaceChildren(...all.map((one, i) => column(one, answers[i])));
  if (byId("top").value === "all" && !compare) all.forEach((one, i) => endless(results.children[i].querySelector(".grid"), one));
  const wrong = answers.flat().filter((answer) => answer.status === "rejected");
  const found = answers.flat().reduce((sum, answer) => sum + (answer.value ? answer.value.photographs.length : 0), 0);
  if (wrong.length === answers.flat().length) say(wrong[0].reason.message, true);
  else say(`${found} photographs for ${all.length === 1 ? "one query" : `${all.length} queries`}.`);
}

// Add photographs to a grid whenever its end comes into sight, as long as there are more.
function endless(list, one, top = STEP) {
  if (!list || list.children.length < top || top === MOST_PHOTOGRAPHS) return;
  const next = Math.min(top + STEP, MOST_PHOTOGRAPHS);
  const watcher = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting) return;
    watcher.disconnect();
    try {
      const { photographs } = await ask(one, true, next);
      extend(list, photographs.slice(list.children.length));
      endless(list, one, next);
    } catch (error) {
      say(error.message, true);
    }
  });
  watcher.observe(list.lastElementChild);
}

function column(one, [after, before]) {
  const made = element("section", undefined, "column");
  const heading = element("h2", one.query || one.title);
  heading.dir = "auto";
  made.append(heading);
  if (after.status === "rejected" || (before && before.status === "rejected")) {
    const failed = after.status === "rejected" ? after : before;
    made.append(element("p", failed.reason.message, "note wrong-note"));
    return made;
  }
  heading.lang = htmlLanguage(after.value.language);
  made.append(element("p", note(after.value), "note"));
  if (!before || before.value.model === after.value.model) {
    made.append(grid(after.value.photographs));
    return made;
  }
  const known = new Set(before.value.photographs.map((hit) => hit.id));
  const fresh = new Set(after.value.photographs.map((hit) => hit.id).filter((id) => !known.has(id)));
  const pair = element("div", undefined, "pair");
  for (const [title, answer, marked] of [
    ["Without the adapter", before.value, new Set()],
    [`With ${after.value.model}: ${fresh.size} new`, after.value, fresh],
  ]) {
    const part = element("div");
    part.append(element("h3", title), grid(answer.photographs, marked));
    pair.append(part);
  }
  made.append(pair);
  return made;
}

function note(answer) {
  if (!answer.model) return "by picture";
  const row = languages.find((one) => one.code === answer.language);
  const name = row ? row.name : answer.language;
  const how = answer.language ? `${name}, detected automatically` : "language not detected";
  const guess = answer.confidence !== null ? `${how} (confidence ${answer.confidence.toFixed(2)})` : name;
  const adapted = answer.model.includes(":") ? `adapter ${answer.model}` : "plain tower";
  return `${guess}; ${adapted}`;
}

function htmlLanguage(code) {
  return code === "jp" ? "ja" : code || "";
}

async function searchLike(blob, name) {
  let image;
  try {
    image = await smallPicture(blob);
  } catch (error) {
    say(`${name} cannot be read as a picture.`, true);
    return;
  }
  queries.replaceChildren();
  addPicture(name, image);
  search();
}

function say(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

function remember(all) {
  const address = new URLSearchParams();
  for (const one of all.filter((each) => each.query)) {
    address.append("q", one.query);
    address.append("l", one.language);
  }
  for (const name of ["compare", "scores"]) if (byId(name).checked) address.set(name, "1");
  address.set("top", byId("top").value);
  if (byId("in").value.trim()) address.set("in", byId("in").value.trim());
  history.replaceState(null, "", `?${address}`);
}

function showExamples() {
  const known = new Map(languages.filter((one) => one.adapter || one.code === "en").map((one) => [one.code, one.name]));
  const examples = Object.entries(EXAMPLES).filter(([code]) => known.has(code));
  for (const [code, text] of examples.slice(0, MOST_EXAMPLES)) {
    const button = element("button", text, "example");
    button.type = "button";
    button.lang = htmlLanguage(code);
    button.title = known.get(code);
    button.addEventListener("click", () => {
      queries.replaceChildren();
      addQuery(text, code);
      search();
    });
    byId("examples").append(" ", button);
  }
  byId("examples").hidden = !examples.length;
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
  byId("folders").replaceChildren(...about.folders.map((folder) => new Option(folder)));
  const address = new URLSearchParams(location.search);
  byId("in").value = address.get("in") || "";
  const texts = address.getAll("q").slice(0, MOST);
  const codes = address.getAll("l");
  texts.forEach((text, i) => addQuery(text, codes[i]));
  if (!texts.length) addQuery();
  for (const name of ["compare", "scores"]) byId(name).checked = address.get(name) === "1";
  showScores();
  if ([...byId("top").options].some((option) => option.value === address.get("top"))) byId("top").value = address.get("top");
  form.querySelectorAll("input, select, button").forEach((one) => { one.disabled = !about.photographs; });
  changed();
  byId("add").disabled = byId("add").disabled || !about.photographs;
  if (texts.length && about.photographs) {
    search();
    return;
  }
  if (about.photographs) showExamples();
  focusText();
}

function showScores() {
  document.body.classList.toggle("scores", byId("scores").checked);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
byId("add").addEventListener("click", () => addQuery().querySelector("input").focus());
byId("compare").addEventListener("change", () => { if (asked().length) search(); });
for (const name of ["top", "in"]) byId(name).addEventListener("change", () => { if (asked().length) search(); });
byId("scores").addEventListener("change", () => { showScores(); if (asked().length) remember(asked()); });
byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  byId("file").value = ""; // so that the same file can be chosen again
  if (file) searchLike(file, file.name);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file && !byId("choose").disabled) searchLike(file, file.name);
});
onMoreLikeThis(searchLike);
document.addEventListener("keydown", (event) => {
  if (!isOpen() && event.key === "/" && !/^(INPUT|SELECT)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    focusText();
  }
});
start();
