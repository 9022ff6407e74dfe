"use strict";
// Sorting: the best first, then the other way round; blanks stay last in both directions; numbers by value, texts by alphabet.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      const sorted = head.getAttribute("aria-sort");
      const descending = sorted ? sorted === "ascending" : head.textContent.includes("↑"); // the best first
      const numeric = head.classList.contains("number");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = (row) => row.cells[place].dataset.key;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === "" || right === "") return (left === "") - (right === "");
        const order = numeric ? Number(left) - Number(right) : left.localeCompare(right, undefined, { numeric: true });
        return descending ? -order : order;
      });
      rows.forEach((row) => row.classList.remove("block"));
      table.tBodies[0].append(...rows);
    });
  });
}
const dataset = document.getElementById("dataset");
const search = document.getElementById("search");
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.querySelectorAll("[data-dataset]")) {
    const text = item.textContent.toLowerCase();
    const found = item.tagName !== "TR" || words.every((word) => text.includes(word));
    item.hidden = !found || (dataset.value !== "" && item.dataset.dataset !== dataset.value);
  }
}
dataset.addEventListener("change", filter);
search.addEventListener("input", filter);

// Copying: the clipboard where the browser offers it to a page from a file, else the older way; the command is shown in any case.
const copied = document.getElementById("copied");
let hiding;
function copyOldWay(text) {
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const done = await copyText(button.dataset.command);
    copied.replaceChildren(done ? "Copied: " : "Copy it from here: ", Object.assign(document.createElement("code"), { textContent: button.dataset.command }));
    copied.hidden = false;
    clearTimeout(hiding);
    if (done) hiding = setTimeout(() => { copied.hidden = true; }, 8000);
  });
}
