// Photographs that were found: the grid, and the viewer of one of them.

import { t } from "./text.js";

const SIDE = 1024; // pixels: the longer side of a picture that is sent
const MOST_BYTES = 8 << 20; // of a picture, as the server's limit

export const byId = (id) => document.getElementById(id);
const viewer = byId("viewer");

let shown = []; // buttons of the grid that a photograph was opened from
let place = 0; // of the photograph in the viewer among them

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text; // never as HTML
  if (className) made.className = className;
  return made;
}

// The address of a picture, another one after the photograph has changed: browsers keep what they loaded.
function address(kind, { id, version }) {
  return `/${kind}/${encodeURIComponent(id)}?v=${version}`;
}

// A list of photographs; those with names of the query, which come first, are separated from the others.
export function grid(hits, marked = new Set()) {
  const list = element("ol", undefined, "grid");
  extend(list, hits, marked);
  return list;
}

export function extend(list, hits, marked = new Set()) {
  for (const hit of hits) {
    const previous = [...list.querySelectorAll(".shot")].pop();
    if (previous && previous.hit.named && !hit.named) list.append(element("li", t("others"), "others"));
    const fresh = marked.has(hit.id);
    const button = element("button", undefined, fresh ? "shot fresh" : "shot");
    button.type = "button";
    const image = element("img");
    image.addEventListener("error", () => image.replaceWith(element("span", t("gone"), "gone")));
    image.src = address("thumbnails", hit);
    image.alt = hit.name;
    image.loading = "lazy";
    button.append(image);
    button.hit = hit;
    button.addEventListener("click", () => {
      shown = [...list.querySelectorAll(".shot")];
      open(shown.indexOf(button));
    });
    const item = element("li");
    item.append(button, caption(hit, fresh));
    list.append(item);
  }
}

function caption(hit, fresh) {
  const [folder, file] = parts(hit.name);
  const made = element("p", undefined, "caption");
  made.title = hit.name;
  made.append(element("span", file, "file"));
  if (folder) made.append(element("span", folder, "soft"));
  const marks = element("span", undefined, "marks");
  if (fresh) marks.append(element("span", t("fresh"), "new"));
  marks.append(element("span", hit.score.toFixed(3), "score"));
  made.append(marks);
  return made;
}

function parts(name) {
  const end = name.lastIndexOf("/");
  return [name.slice(0, Math.max(end, 0)), name.slice(end + 1)];
}

function open(at) {
  place = (at + shown.length) % shown.length;
  const { name, score } = shown[place].hit;
  const [folder, file] = parts(name);
  isGone(false);
  byId("large").src = address("photographs", shown[place].hit);
  byId("large").alt = name;
  byId("download").href = byId("large").src;
  byId("download").download = `${file.replace(/\.[^.]*$/, "")}.jpg`;
  byId("copy").textContent = t("copy");
  byId("name").textContent = file;
  byId("folder").textContent = folder;
  byId("score").textContent = score.toFixed(3);
  byId("count").textContent = t("of", { n: place + 1, all: shown.length });
  if (viewer.open) return;
  viewer.showModal();
  byId("after").focus(); // `autofocus` is also tried when the page loads, and browsers then log that the text box has the focus
}

function isGone(gone) {
  byId("large").hidden = gone;
  byId("gone").hidden = !gone;
  byId("like").disabled = gone;
  byId("download").hidden = gone;
}

export function isOpen() {
  return viewer.open;
}

export function onMoreLikeThis(searchLike) {
  byId("like").addEventListener("click", async () => {
    const { hit } = shown[place];
    const answer = await fetch(address("photographs", hit)).catch(() => null);
    if (!answer || !answer.ok) {
      isGone(true);
      return;
    }
    const blob = await answer.blob();
    viewer.close();
    await searchLike(blob, parts(hit.name)[1]);
  });
}

// Return a picture as the text that the server reads: smaller, or as it is where the browser lacks its format, as HEIC.
export async function smallPicture(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch (error) {
    return wholeFile(blob, name);
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // under transparent pixels, as the index has it
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

async function wholeFile(blob, name) {
  if (blob.size > MOST_BYTES) throw new Error("too long for the server");
  const reader = new FileReader();
  await new Promise((done, failed) => {
    reader.addEventListener("load", done);
    reader.addEventListener("error", failed);
    reader.readAsDataURL(blob);
  });
  const kind = name.split(".").pop().toLowerCase().replace(/[^a-z0-9]/g, "") || "unknown";
  return `data:image/${kind};base64,${reader.result.split(",")[1] || ""}`; // browsers know no type of some formats
}

// Move the focus to the next photograph of a grid, by `places`, or to the nearest one `rows` above or below.
function move(button, places, rows) {
  const all = [...button.closest(".grid").querySelectorAll(".shot")];
  const here = all.indexOf(button);
  const top = (shot) => shot.getBoundingClientRect().top;
  const left = (shot) => shot.getBoundingClientRect().left;
  const isThere = (shot) => (rows > 0 ? top(shot) > top(button) : top(shot) < top(button));
  const there = rows > 0 ? all.find(isThere) : all.findLast(isThere);
  const row = there ? all.filter((shot) => top(shot) === top(there)) : [];
  const next = rows ? row.findLast((shot) => left(shot) <= left(button)) : all[here + places];
  if (next) next.focus();
}

// Whether arrow keys go to the photographs: after a search, from anywhere but a field that has a use for them.
function entersPhotographs(key) {
  const active = document.activeElement;
  return active.matches("#queries input") ? key === "ArrowDown" : !active.matches("input, select, summary");
}

byId("copy").hidden = !navigator.clipboard; // which browsers give to pages of this computer and of https
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(shown[place].hit.name);
  byId("copy").textContent = t("copied");
});
byId("before").addEventListener("click", () => open(place - 1));
byId("after").addEventListener("click", () => open(place + 1));
byId("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("close", () => shown[place] && shown[place].focus());
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
byId("large").addEventListener("error", () => isGone(true));
document.addEventListener("keydown", (event) => {
  if (viewer.open && event.key === "ArrowLeft") open(place - 1);
  if (viewer.open && event.key === "ArrowRight") open(place + 1);
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (viewer.open || !steps || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const first = document.querySelector(".shot");
  if (document.activeElement.matches(".shot")) {
    event.preventDefault();
    move(document.activeElement, ...steps);
  } else if (first && entersPhotographs(event.key)) {
    event.preventDefault();
    first.focus();
  }
});
