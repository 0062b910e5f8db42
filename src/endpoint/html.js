"use strict";
(() => {
const $ = id => document.getElementById(id);
const query = $("query"), live = $("live"), state = $("state");
// The value of each row, by family, group and row.
const cells = root => {
  const found = new Map();
  for (const section of root.querySelectorAll("section")) {
    let group = "";
    for (const row of section.querySelectorAll("tr")) {
      if (row.className === "group") group = row.textContent;
      else found.set(section.id + "\n" + group + "\n" + row.cells[0].textContent, row.cells[1]);
    }
  }
  return found;
};
const filter = () => {
  const words = query.value.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const section of document.querySelectorAll("section")) {
    const text = section.querySelector("div").textContent.toLowerCase();
    section.hidden = !words.every(word => text.includes(word));
    shown += !section.hidden;
  }
  $("shown").textContent = shown;
};
const mark = (before, after) => {
  for (const [key, cell] of after) {
    const old = before.get(key);
    if (old === undefined || old.dataset.value === cell.dataset.value) continue;
    const moved = cell.dataset.value - old.dataset.value;
    cell.classList.add("moved");
    cell.title = "was " + old.dataset.value;
    if (isFinite(moved)) {
      const sign = moved > 0 ? "+" : "";
      cell.dataset.moved = sign + Number(moved.toPrecision(4));
    }
  }
};
const refresh = async () => {
  const begun = performance.now();
  // Not while text is being selected, nor in a tab that is not looked at.
  if (live.checked && !document.hidden && getSelection().isCollapsed) {
    try {
      const url = location.pathname + location.search;
      const answer = await fetch(url, {headers: {Accept: "text/html"}, cache: "no-store"});
      if (!answer.ok) throw new Error("status " + answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = page.querySelector("main");
      mark(cells(document), cells(main));
      document.querySelector("main").replaceWith(document.adoptNode(main));
      filter();
      state.textContent = "as of " + new Date().toLocaleTimeString();
    } catch (error) {
      state.textContent = "no answer (" + error.message + ")";
    }
  }
  // A tenth of the time at most goes into refreshing.
  setTimeout(refresh, Math.max(2000, 9 * (performance.now() - begun)));
};
query.value = decodeURIComponent(location.hash.slice(1));
query.addEventListener("input", () => {
  history.replaceState(null, "", "#" + encodeURIComponent(query.value));
  filter();
});
document.querySelector("header").hidden = false;
filter();
setTimeout(refresh, 2000);
})();
