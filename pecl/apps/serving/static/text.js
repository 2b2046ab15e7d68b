// The page's words in the language of its reader: /static/strings.json, by the code that the server chose.

let strings = {};
let locale = "en";

export async function useLanguage(code) {
  const all = await (await fetch("/static/strings.json")).json();
  strings = { ...all.en, ...all[code] };
  locale = tag(all[code] ? code : "en");
  document.documentElement.lang = locale;
  translate(document);
  for (const template of document.querySelectorAll("template")) translate(template.content);
  document.title = t("title");
}

function translate(root) {
  for (const one of root.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of root.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
  for (const one of root.querySelectorAll("[data-t-placeholder]")) one.placeholder = t(one.dataset.tPlaceholder);
}

// Return a text, with {names} filled in; one that depends on a number has a form per plural category.
export function t(key, values = {}) {
  const found = strings[key];
  const text = typeof found === "string" ? found : found[new Intl.PluralRules(locale).select(values.n)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(locale) : value;
  });
}

export function tag(code) {
  return code === "jp" ? "ja" : (code || "").replace("_", "-");
}

// Return the name of a language in the reader's, or else the one that the server gives.
export function languageName({ code, name }) {
  try {
    return new Intl.DisplayNames(locale, { type: "language", fallback: "none" }).of(tag(code)) || name;
  } catch (error) { // an adapter can have any name
    return name;
  }
}

export function either(names) {
  return new Intl.ListFormat(locale, { type: "disjunction" }).format(names);
}

// Return the days from `after` to the one before `before` as the reader writes them: 2019, July 2019, or full dates.
export function dayRange(after, before) {
  const isMonths = after.endsWith("-01") && before.endsWith("-01");
  const isYears = isMonths && after.endsWith("-01-01") && before.endsWith("-01-01");
  const month = isYears ? undefined : "long";
  const day = isMonths ? undefined : "numeric";
  const format = new Intl.DateTimeFormat(locale, { year: "numeric", month, day, timeZone: "UTC" });
  return format.formatRange(new Date(after), new Date(nextDay(before, -1)));
}

// Return the day that is `days` later, as 2019-07-14.
export function nextDay(day, days = 1) {
  const date = new Date(day);
  date.setUTCDate(date.getUTCDate() + days);
  return date.toISOString().slice(0, 10);
}
