"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const root = document.documentElement;

  // Colours: of the system, or as chosen. Files may not remember, which is no reason to fail.
  const remembered = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* for this time only */ } } };
  const themes = { auto: "as the system has them", light: "of the day", dark: "of the night" };
  const button = one(".theme");
  const dress = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = theme[0].toUpperCase() + theme.slice(1);
    button.setAttribute("aria-label", `${button.textContent}: colours ${themes[theme]}`);
  };
  let theme = remembered.get() in themes ? remembered.get() : "auto";
  dress(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    remembered.set(theme);
    dress(theme);
  });

  // Contents are folded where the screen is narrow.
  const menu = one(".menu");
  const narrow = matchMedia("(max-width: 59.99rem)");
  const fold = () => { menu.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  menu.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("nav a")) menu.open = false;
  });

  // What a link leads to is unfolded.
  const unfold = () => {
    let each = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (each = each && each.parentElement; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
  addEventListener("beforeprint", () => all("main details").forEach((each) => { each.open = true; }));

  // Search: every word somewhere in a card.
  const cards = all(".card[id]");
  const texts = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
  const box = one(".search"), input = one("#search"), said = one(".found"), nothing = one(".nothing");
  const entries = new Map(all("nav li[data-for]").map((each) => [each.dataset.for, each]));
  const mark = (words) => {
    if (!window.Highlight || !CSS.highlights) return;
    CSS.highlights.delete("found");
    if (!words.length) return;
    const ranges = [];
    for (const card of cards) {
      if (card.hidden) continue;
      const texts = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node && ranges.length < 2000; node = texts.nextNode()) {
        const text = node.data.toLowerCase();
        for (const word of words) {
          for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
            const range = new Range();
            range.setStart(node, at);
            range.setEnd(node, Math.min(at + word.length, node.length));
            ranges.push(range);
          }
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  };
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const fits = words.every((word) => texts.get(card).includes(word));
      card.hidden = !fits;
      const entry = entries.get(card.id);
      if (entry) entry.hidden = !fits;
      count += fits;
    }
    for (const part of all(".part")) part.hidden = words.length > 0 && !one(".card:not([hidden])", part);
    one("main > header").hidden = words.length > 0;
    nothing.hidden = count > 0 || !words.length;
    said.textContent = words.length ? `${count} of ${cards.length}` : "";
    mark(words);
  };
  const clear = () => { input.value = ""; search(); };
  box.hidden = false;
  input.addEventListener("input", search);
  one("button", nothing).addEventListener("click", () => { clear(); input.focus(); });
  search();
  addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape" && event.target === input) {
      clear();
      input.blur();
    } else if (event.key === "Enter" && event.target === input) {
      const first = cards.find((card) => !card.hidden);
      if (first) location.hash = first.id;
    }
  });

  // The contents say where one is.
  const near = new IntersectionObserver((seen) => {
    for (const each of seen) {
      if (!each.isIntersecting) continue;
      all("nav a[aria-current]").forEach((link) => link.removeAttribute("aria-current"));
      const entry = entries.get(each.target.id);
      if (entry) one("a", entry).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -80% 0px" });
  cards.forEach((card) => near.observe(card));

  // JSON in colours.
  const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d[\d.eE+-]*|true|false|null/g;
  for (const code of all(".example code")) {
    const text = code.textContent, pieces = [];
    let end = 0;
    for (const found of text.matchAll(tokens)) {
      const token = found[1] || found[0];
      const piece = document.createElement("span");
      piece.className = found[2] ? "j-key" : found[1] ? "j-text" : "j-word";
      piece.textContent = token;
      pieces.push(text.slice(end, found.index), piece);
      end = found.index + token.length;
    }
    code.replaceChildren(...pieces, text.slice(end));
  }

  // Copy an example, where the browser lets a page do so.
  if (navigator.clipboard) {
    for (const pre of all(".example pre")) {
      const copy = document.createElement("button");
      copy.type = "button";
      copy.className = "copy";
      copy.textContent = "Copy";
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(one("code", pre).textContent);
        copy.textContent = "Copied";
        setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      });
      pre.prepend(copy);
    }
  }

  // A server that knows of changes says so.
  const { live } = document.body.dataset;
  if (live) {
    const events = new EventSource(live);
    events.addEventListener("changed", () => location.reload());
  }
})();
