"use strict";
// Answers: "yes" (keep), "no" (drop) or "" (the tool's verdict), for every training image in the table's order.
const data = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll("article")];
const answers = [...data.answers];
const store = "suspects:" + data.key; // of this very table; answers survive a closed tab
let unsaved = false;

function isDropped(index) {
  return answers[index] === "" ? data.removed[index] : answers[index] === "no";
}

function show(card) {
  const index = Number(card.dataset.index);
  const dropped = isDropped(index);
  card.dataset.drop = dropped ? "yes" : "no";
  for (const button of card.querySelectorAll("[data-answer]")) {
    button.setAttribute("aria-pressed", String(button.dataset.answer === answers[index]));
  }
  card.querySelector(".outcome").textContent =
    (dropped ? "will be dropped" : "will be kept") + (answers[index] === "" ? ", as the tool decided" : ", as you decided");
}

function count() {
  const dropped = answers.filter((_, index) => isDropped(index)).length;
  const answered = cards.filter((card) => answers[card.dataset.index] !== "").length;
  document.getElementById("counters").textContent =
    `${answers.length - dropped} kept, ${dropped} dropped of ${answers.length}; you judged ${answered} of ${cards.length}`;
}

function remember() {
  try {
    localStorage.setItem(store, JSON.stringify(answers));
  } catch {
    // no storage here: answers live as long as the page
  }
}

function recall() {
  try {
    const stored = JSON.parse(localStorage.getItem(store));
    if (!Array.isArray(stored) || stored.length !== answers.length) return;
    if (stored.every((answer, index) => answer === answers[index])) return;
    stored.forEach((answer, index) => { answers[index] = answer === "yes" || answer === "no" ? answer : ""; });
    say("Your answers from before are back.");
  } catch {
    // nothing to recall
  }
}

function say(text) {
  document.getElementById("message").textContent = text;
}

function decide(card, answer) {
  answers[card.dataset.index] = answer;
  unsaved = true;
  say("");
  show(card);
  count();
  remember();
}

function save() {
  const text = [data.header, ...data.lines.map((line, index) => line + answers[index])].join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = "suspects.csv";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  unsaved = false;
  say("Saved suspects.csv where your browser puts downloads.");
}

function filter() {
  const wanted = document.querySelector("[name=filter]:checked").value;
  for (const card of cards) {
    card.hidden = wanted !== "all" && (card.dataset.removed === "yes") !== (wanted === "removed");
  }
  document.getElementById("nothing").hidden = cards.length === 0 || cards.some((card) => !card.hidden);
}

function switchHeat(shown) {
  document.getElementById("heat").checked = shown;
  for (const overlay of document.querySelectorAll(".overlay")) overlay.setAttribute("aria-pressed", String(shown));
}

function go(card, steps) {
  const visible = cards.filter((other) => !other.hidden);
  const next = card ? visible[visible.indexOf(card) + steps] : visible[0];
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement.closest("article");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const inField = event.target.matches("input[type=radio]"); // arrows are the field's own there
  if (key === "ArrowRight" && !inField) go(card, 1);
  else if (key === "ArrowLeft" && !inField) go(card, -1);
  else if (key === "h") switchHeat(!document.getElementById("heat").checked);
  else if (key === "s") save();
  else if (!"kdu".includes(key)) return;
  else if (!card) go(null, 0); // a first press only shows which image the keys mean
  else {
    decide(card, { k: "yes", d: "no", u: "" }[key]);
    if (key !== "u") go(card, 1);
  }
  event.preventDefault();
}

recall();
for (const card of cards) {
  show(card);
  for (const button of card.querySelectorAll("[data-answer]")) {
    button.addEventListener("click", () => decide(card, button.getAttribute("aria-pressed") === "true" ? "" : button.dataset.answer));
  }
  const overlay = card.querySelector(".overlay");
  if (overlay) { // the image stands in the page once, and a second time below its heat map
    const under = card.querySelector(".plain").cloneNode();
    under.className = "under";
    under.alt = "";
    overlay.prepend(under);
    overlay.addEventListener("click", () => {
      overlay.setAttribute("aria-pressed", String(overlay.getAttribute("aria-pressed") !== "true"));
    });
  }
}
count();
filter();
if (!document.getElementById("heat").checked) switchHeat(false); // a reloaded page may keep the tick as it was
for (const option of document.querySelectorAll("[name=filter]")) option.addEventListener("change", filter);
document.getElementById("heat").addEventListener("change", (event) => switchHeat(event.target.checked));
document.getElementById("save").addEventListener("click", save);
document.getElementById("clear").addEventListener("click", () => {
  if (!window.confirm("Forget your answers to all images?")) return;
  answers.fill("");
  unsaved = false;
  cards.forEach(show);
  count();
  remember();
  say("Every image is as the tool decided.");
});
document.addEventListener("keydown", press);
window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
