"use strict";
(function () {
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const one = (id) => document.getElementById(id);
  const blocks = all("details.change");
  const setOpen = (open) => blocks.forEach((block) => { if (!block.hidden) block.open = open; });
  const tools = one("tools");
  if (!tools) return;
  tools.hidden = false;
  one("expand").addEventListener("click", () => setOpen(true));
  one("collapse").addEventListener("click", () => setOpen(false));
  one("filter").addEventListener("change", (event) => {
    const wanted = event.target.value;
    all("[data-action]").forEach((part) => { part.hidden = wanted !== "" && part.dataset.action !== wanted; });
    const shown = blocks.filter((block) => !block.hidden).reduce((sum, block) => sum + Number(block.dataset.count), 0);
    one("shown").textContent = wanted === "" ? "" : shown + " shown";
  });
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((block) => { block.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((block) => { block.open = false; }));
})();
