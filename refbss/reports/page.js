"use strict";
(() => {
  const status = document.getElementById("status");

  function key(row, column, isNumber) {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return isNumber ? (text === "" ? NaN : Number(text)) : text;
  }

  function compare(a, b) {
    if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
    return a < b ? -1 : a > b ? 1 : 0;
  }

  /* Sorts the rows by a column; what has no value stays last either way, equal rows keep their order. */
  function sort(table, heads, column) {
    const head = heads[column];
    const falling = head.getAttribute("aria-sort") === "ascending";
    const isNumber = head.dataset.kind === "number";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column, isNumber), row]);
    const missing = rows.filter(([value]) => Number.isNaN(value));
    const present = rows.filter(([value]) => !Number.isNaN(value));
    present.sort(([a], [b]) => (falling ? compare(b, a) : compare(a, b)));
    body.append(...[...present, ...missing].map(([, row]) => row));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    status.textContent = `Sorted by ${head.textContent.trim()}, ${falling ? "descending" : "ascending"}.`;
  }

  for (const table of document.querySelectorAll("table.sorted")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, heads, column));
    });
  }

  /* What scrolls can be reached with the keyboard, what does not is no stop on the way. */
  const frames = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
      if (scrolls) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const frame of document.querySelectorAll(".scroll")) frames.observe(frame);

  /* One player at a time. */
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);

  /* Paper has no buttons to unfold what matters there. */
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details.printed:not([open])")];
    for (const part of unfolded) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of unfolded) part.open = false;
  });
})();
