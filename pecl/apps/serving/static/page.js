import { byId, element, extend, grid, isOpen, onMoreLikeThis, smallPicture } from "./results.js";
import { dayRange, either, languageName, nextDay, t, tag, useLanguage } from "./text.js";

const MOST = 4; // queries side by side
const MOST_LANGUAGES = 16; // of a reader, for the server
const STEP = 48; // photographs that scrolling to the end adds
const MOST_PHOTOGRAPHS = 1000; // of an answer of the server
const FIRST_DAY = "1800-01-01"; // that the page's fields and the server's dates reach
const LAST_DAY = "2099-12-31";
const EXAMPLES = { // by the code of their language
  en: "a dog on the beach",
  cs: "pes na pláži",
  sk: "pes na pláži",
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

const BETTER = "bash scripts/search.sh FOLDER --profile siglip2-b16 --rebuild";
const SPOKEN = "pecl-languages"; // where the browser keeps the reader's choice

let languages = []; // {code, name, adapter} of the server, named in the reader's language
let spoken = []; // codes of the languages that the reader speaks
let total = 0; // photographs in the index
let latest = 0; // number of the newest search: answers to older ones are dropped

function addQuery(text = "", language = "") {
  const row = byId("query").content.firstElementChild.cloneNode(true);
  row.querySelector("input").value = text;
  row.querySelector("input").addEventListener("input", () => forgetReading(row));
  forgetReading(row);
  const select = row.querySelector("select");
  select.append(new Option(t("automatic"), ""));
  for (const one of languages) select.append(new Option(one.name, one.code));
  select.value = languages.some((one) => one.code === language) ? language : "";
  return append(row);
}

// Another text may have other names, and other readings.
function forgetReading(row) {
  row.notNames = [];
  row.exactly = false;
}

function addPicture(name, image) {
  const row = byId("image").content.firstElementChild.cloneNode(true);
  row.image = image;
  const preview = row.querySelector("img");
  preview.addEventListener("error", () => { preview.hidden = true; }); // a format that only the server reads
  preview.src = image;
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
      ? { row, image: row.image, name: row.querySelector(".text span").textContent }
      : { row, query: row.querySelector("input").value.trim(), language: row.querySelector("select").value,
          not_names: row.notNames, exactly: row.exactly })
    .filter((one) => one.image || one.query);
}

async function ask(one, adapter, top = Number(byId("top").value) || STEP) {
  const body = { top, adapter, languages: spoken };
  const folder = byId("in").value.trim();
  if (folder) body.folder = folder;
  if (byId("from").value) body.after = byId("from").value;
  if (byId("until").value) body.before = nextDay(byId("until").value);
  for (const name of ["query", "image", "language", "not_names", "exactly"]) if (one[name]) body[name] = one[name];
  let answer, document;
  try {
    answer = await fetch("/search", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    document = await answer.json();
  } catch (error) {
    throw new Error(t("noAnswer"));
  }
  if (answer.ok) return document;
  const isPicture = one.image && document.error.param === "image";
  throw new Error(isPicture ? t("unreadable", { name: one.name }) : document.error.message);
}

async function search() {
  const all = asked();
  const number = ++latest;
  say("");
  if (!all.length) {
    results.replaceChildren();
    say(t("empty"), true);
    return;
  }
  remember(all);
  say(t("searching"));
  byId("examples").hidden = true;
  const compare = byId("compare").checked;
  const answers = await Promise.all(all.map((one) =>
    Promise.allSettled(compare && one.query ? [ask(one, true), ask(one, false)] : [ask(one, true)])));
  if (number !== latest) return;
  results.classList.toggle("wide", all.length === 1 && answers[0].length === 1);
  results.replaceChildren(...all.map((one, i) => column(one, answers[i])));
  if (byId("top").value === "all" && !compare) all.forEach((one, i) => endless(results.children[i].querySelector(".grid"), one));
  const wrong = answers.flat().filter((answer) => answer.status === "rejected");
  if (wrong.length === answers.flat().length) say(wrong[0].reason.message, true);
  else sayCount();
}

function sayCount() {
  const shown = results.querySelectorAll(".grid .shot").length;
  if (results.querySelector(".grid")) say(shown ? `${t("count", { n: shown })}. ${t("closestFirst")}` : t("nothingFound"));
}

// Add photographs to a grid whenever its end comes into sight, as long as there are more.
function endless(list, one, top = STEP) {
  const count = () => list.querySelectorAll(".shot").length;
  if (!list || count() < top || top === MOST_PHOTOGRAPHS) return;
  const next = Math.min(top + STEP, MOST_PHOTOGRAPHS);
  const watcher = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting) return;
    watcher.disconnect();
    try {
      const { photographs } = await ask(one, true, next);
      extend(list, photographs.slice(count()));
      sayCount();
      endless(list, one, next);
    } catch (error) {
      say(error.message, true);
    }
  });
  watcher.observe(list.lastElementChild);
}

function column(one, [after, before]) {
  const made = element("section", undefined, "column");
  const heading = element("h2", one.query || t("likeTitle", { name: one.name }));
  heading.dir = "auto";
  made.append(heading);
  if (after.status === "rejected" || (before && before.status === "rejected")) {
    const failed = after.status === "rejected" ? after : before;
    made.append(element("p", failed.reason.message, "note wrong-note"));
    return made;
  }
  heading.lang = tag(after.value.language);
  const line = element("p", note(after.value), "note");
  line.append(element("span", ` ${details(after.value)}`, "score"));
  made.append(line, ...reading(one, after.value), ...nameChips(one, after.value), ...dayChips(one, after.value));
  if (!before || before.value.model === after.value.model) {
    made.append(grid(after.value.photographs));
    return made;
  }
  const known = new Set(before.value.photographs.map((hit) => hit.id));
  const fresh = new Set(after.value.photographs.map((hit) => hit.id).filter((id) => !known.has(id)));
  const pair = element("div", undefined, "pair");
  for (const [title, answer, marked] of [
    [t("without"), before.value, new Set()],
    [t("with", { model: after.value.model, n: fresh.size }), after.value, fresh],
  ]) {
    const part = element("div");
    part.append(element("h3", title), grid(answer.photographs, marked));
    pair.append(part);
  }
  made.append(pair);
  return made;
}

// The quiet line above the photographs.
function note(answer) {
  if (!answer.model) return t("byPicture");
  const mixed = Object.keys(answer.mixed).map((code) => (code === "none" ? "en" : code));
  const codes = mixed.length ? mixed : [answer.language].filter(Boolean);
  const language = either(codes.map((code) => languageName({ code, name: code })));
  const read = !language ? t("unknownLanguage") : answer.other_language ? t("otherLanguage", { language }) : language;
  const first = answer.names.filter((name) => name.leads).map((name) => name.word);
  const named = first.length ? t("named", { words: first.join(", ") }) : "";
  const none = answer.days && !answer.days.photographs;
  const noneTaken = none ? t("noneTaken", { days: dayRange(answer.days.after, answer.days.before) }) : "";
  return [read, named, noneTaken].filter(Boolean).join(" · ");
}

// What the text was read as, and a button that searches for what was typed.
function reading(one, answer) {
  if (!answer.read_as?.length) return [];
  const line = element("p", `${t("readAs", { text: either(answer.read_as) })} `, "note");
  line.append(chip(t("exactly"), t("exactly"), () => { one.row.exactly = true; }));
  return [line];
}

// The names in a text, each as a button: then the word is no name.
function nameChips(one, answer) {
  return (answer.names || []).map(({ word }) => chip(`${word} ×`, t("remove", { name: word }), () => {
    one.row.notNames.push(word);
  }));
}

// The days that restrict a search, each as a button that removes them: those of the query, and those of the fields.
function dayChips(one, answer) {
  const chips = [];
  if (answer.days) {
    chips.push(dayChip(answer.days.after, answer.days.before, () => {
      one.row.querySelector("input").value = answer.days.text;
    }));
  }
  const [from, until] = [byId("from").value, byId("until").value];
  if (from || until) {
    chips.push(dayChip(from || FIRST_DAY, nextDay(until || LAST_DAY), () => {
      byId("from").value = "";
      byId("until").value = "";
    }));
  }
  return chips;
}

function dayChip(after, before, remove) {
  const label = after === FIRST_DAY
    ? `${t("until")} ${dayRange(nextDay(before, -1), before)}`
    : nextDay(before, -1) === LAST_DAY ? `${t("from")} ${dayRange(after, nextDay(after))}` : dayRange(after, before);
  return chip(`${label} ×`, t("remove", { name: label }), remove);
}

// A button that changes the search, and repeats it.
function chip(text, label, change) {
  const button = element("button", text, "chip");
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.addEventListener("click", () => {
    change();
    search();
  });
  return button;
}

// For experts: what embedded the text.
function details(answer) {
  if (!answer.model) return "";
  const shares = Object.entries(answer.mixed).map(([code, share]) => `${code} ${share}`).join(" + ");
  const sure = answer.confidence === null ? "" : `(${answer.confidence.toFixed(2)})`;
  return [answer.model, sure, shares].filter(Boolean).join(" ");
}

async function searchLike(blob, name) {
  let image;
  try {
    image = await smallPicture(blob, name);
  } catch (error) {
    say(t("unreadable", { name }), true);
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
  for (const name of ["in", "from", "until"]) if (byId(name).value.trim()) address.set(name, byId(name).value.trim());
  if (`?${address}` !== location.search) history.pushState(null, "", `?${address}`);
}

// Fill in the search that the address of the page has.
function restore() {
  const address = new URLSearchParams(location.search);
  for (const name of ["in", "from", "until"]) byId(name).value = address.get(name) || "";
  queries.replaceChildren();
  const codes = address.getAll("l");
  address.getAll("q").slice(0, MOST).forEach((text, i) => addQuery(text, codes[i]));
  if (!queries.children.length) addQuery();
  for (const name of ["compare", "scores"]) byId(name).checked = address.get(name) === "1";
  showScores();
  const top = address.get("top");
  byId("top").value = [...byId("top").options].some((option) => option.value === top) ? top : "12";
}

function showExamples() {
  const codes = spoken.filter((code) => code in EXAMPLES);
  byId("examples").querySelectorAll("button").forEach((button) => button.remove());
  for (const code of codes) {
    const text = EXAMPLES[code];
    const button = element("button", text, "example");
    button.type = "button";
    button.lang = tag(code);
    button.addEventListener("click", () => {
      queries.replaceChildren();
      addQuery(text, code);
      search();
    });
    byId("examples").append(" ", button);
  }
  byId("examples").hidden = !codes.length;
}

// Show the reader's languages, each with a button that takes it away, and offer the others.
function showSpoken() {
  byId("spoken").replaceChildren(...spoken.map((code) => {
    const name = languageName({ code, name: code });
    const button = element("button", `${name} ×`, "chip");
    button.type = "button";
    button.setAttribute("aria-label", t("remove", { name }));
    button.disabled = spoken.length === 1 || !total;
    button.addEventListener("click", () => speak(spoken.filter((one) => one !== code)));
    return button;
  }));
  const others = languages.filter((one) => !spoken.includes(one.code));
  byId("speak").replaceChildren(new Option(t("addLanguage"), ""), ...others.map((one) => new Option(one.name, one.code)));
  byId("speak").disabled = spoken.length >= MOST_LANGUAGES || !total;
}

function speak(codes) {
  spoken = codes;
  showAbout();
  showSpoken();
  try {
    localStorage.setItem(SPOKEN, JSON.stringify(codes));
  } catch (error) { /* the browser keeps nothing: the choice ends with the page */ }
  if (asked().length) search();
  else showExamples();
}

function keptLanguages() {
  const known = new Set(languages.map((one) => one.code));
  try {
    return JSON.parse(localStorage.getItem(SPOKEN) || "[]").filter((code) => known.has(code));
  } catch (error) { // the browser keeps nothing, or something else
    return [];
  }
}

function showAbout() {
  const names = spoken.map((code) => languageName({ code, name: code })); // of languages without an adapter, too
  byId("about").textContent = total
    ? `${t("count", { n: total })}. ${t("searchIn", { languages: either(names) })}`
    : t("nothing", { command: "pecl serve --index FOLDER" });
}

async function start() {
  let about;
  try {
    about = await (await fetch("/search")).json();
    await useLanguage(about.page);
  } catch (error) {
    byId("about").textContent = "The server does not answer.";
    return;
  }
  languages = about.languages
    .map((one) => ({ ...one, name: languageName(one) }))
    .sort((one, other) => one.name.localeCompare(other.name, document.documentElement.lang));
  const kept = keptLanguages();
  spoken = kept.length ? kept : about.spoken;
  total = about.photographs;
  showAbout();
  byId("demonstration").textContent = t("demonstration", { command: BETTER });
  byId("demonstration").hidden = about.model !== "mini";
  byId("folders").replaceChildren(...about.folders.map((folder) => new Option(folder)));
  restore();
  form.querySelectorAll("input, select, button").forEach((one) => { one.disabled = !about.photographs; });
  changed();
  byId("add").disabled = byId("add").disabled || !about.photographs;
  showSpoken();
  if (asked().length && about.photographs) {
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
// A key opens the list, as browsers would else take the first language with this letter at once.
byId("speak").addEventListener("keydown", (event) => {
  if (!byId("speak").showPicker || event.ctrlKey || event.metaKey || !/^(.|Arrow.*|Home|End|Page.*)$/u.test(event.key)) return;
  event.preventDefault();
  byId("speak").showPicker();
});
byId("speak").addEventListener("change", () => speak([...spoken, byId("speak").value]));
for (const name of ["top", "in", "from", "until"]) byId(name).addEventListener("change", () => { if (asked().length) search(); });
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
addEventListener("popstate", () => {
  byId("viewer").close();
  restore();
  results.replaceChildren();
  if (asked().length) {
    search();
    return;
  }
  latest++;
  say("");
  showExamples();
});
document.addEventListener("keydown", (event) => {
  if (!isOpen() && event.key === "/" && !/^(INPUT|SELECT)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    focusText();
  }
});
start();
