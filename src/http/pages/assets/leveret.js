// The own script of the dashboard: live regions, relative times, keys and the theme. Every page also works without it.
"use strict";
(() => {
  const SOON_MS = 250;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  // Times, in the words of the server.
  const relative = (at) => {
    const seconds = Math.round((Date.now() - at) / 1000);
    const away = Math.abs(seconds);
    if (away < 5) return "now";
    const [size, unit] = away < 60 ? [away, "s"] : away < 3600 ? [away / 60, "min"] : away < 86400 ? [away / 3600, "h"] : [away / 86400, "d"];
    return seconds < 0 ? `in ${Math.floor(size)} ${unit}` : `${Math.floor(size)} ${unit} ago`;
  };
  const tick = () => {
    for (const time of all("time[data-relative]")) {
      const words = relative(Date.parse(time.dateTime.replace(" ", "T")));
      if (time.textContent !== words) time.textContent = words;
    }
  };
  setInterval(tick, 5000);

  // The theme: a cookie, so that the server writes it into the next page and nothing flashes.
  const root = document.documentElement;
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `leveret-theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  });

  // Live regions: each is asked for again when something has changed. What a person has begun in it is left alone.
  const connection = document.getElementById("connection");
  const lost = (is) => {
    const words = is ? `Connection lost: shown as of ${new Date(seen).toLocaleTimeString()}` : "";
    if (connection && connection.textContent !== words) connection.textContent = words;
  };
  let seen = Date.now();
  const isBusy = (region) =>
    region.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), textarea, select");
  const refresh = () => {
    if (document.hidden || !window.htmx) return;
    for (const region of all("[data-region]")) if (!isBusy(region)) window.htmx.trigger(region, "refresh");
  };
  let soon = 0;
  const changed = () => {
    clearTimeout(soon);
    soon = setTimeout(refresh, SOON_MS);
  };
  const live = document.body.dataset.live;
  if (live) {
    const stream = new EventSource(live);
    stream.addEventListener("changed", changed);
    stream.addEventListener("ended", () => stream.close());
    stream.addEventListener("open", () => { lost(false); changed(); });
    stream.addEventListener("error", () => lost(true));
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden && live) changed(); });

  // What is checked, opened and pointed at survives a swap.
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const region = event.detail.target;
    kept = {
      checked: all("input[type=checkbox]:checked", region).map((box) => box.id),
      open: all("details[open]", region).map((part) => part.id),
      row: region.querySelector("tr.is-here")?.id,
      scrolled: all(".scroll, .json", region).map((part) => [part.scrollLeft, part.scrollTop]),
    };
  });
  document.addEventListener("htmx:afterSettle", () => {
    seen = Date.now();
    lost(false);
    if (kept) {
      for (const id of kept.checked) { const box = document.getElementById(id); if (box) box.checked = true; }
      for (const id of kept.open) { const part = id && document.getElementById(id); if (part) part.open = true; }
      if (kept.row) document.getElementById(kept.row)?.classList.add("is-here");
      kept = null;
    }
    tick();
    count();
  });
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.addEventListener(name, () => lost(true));

  // Rows: selected with a box, walked with j and k.
  const count = () => {
    for (const place of all("[data-count-of]")) {
      const number = all(`input[name="${place.dataset.countOf}"]:checked`).length;
      const words = number ? `${number} selected` : place.dataset.none;
      if (place.textContent !== words) place.textContent = words;
    }
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-check-all]")) {
      for (const box of all(`input[name="${event.target.dataset.checkAll}"]`)) box.checked = event.target.checked;
    }
    count();
  });
  const rows = () => all("tr[data-row]");
  const here = () => document.querySelector("tr.is-here");
  const walk = (by) => {
    const list = rows();
    if (!list.length) return;
    const from = list.indexOf(here());
    const to = from < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(from + by, 0), list.length - 1);
    here()?.classList.remove("is-here");
    list[to].classList.add("is-here");
    const link = list[to].querySelector("a[href]");
    if (link) link.focus({ preventScroll: true });
    list[to].scrollIntoView({ block: "nearest" });
  };

  // Keys, but not while somebody writes.
  const help = document.getElementById("help");
  const PLACES = { o: "/", i: "/instances", t: "/tasks", c: "/incidents", l: "/dead-letters", d: "/definitions", s: "/schedules" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (Date.now() - going < 1500 && PLACES[event.key]) { location.assign(PLACES[event.key]); return; }
    going = 0;
    const box = here()?.querySelector("input[type=checkbox]");
    switch (event.key) {
      case "/": { const filter = document.querySelector("[data-filter]"); if (!filter) return; filter.focus(); filter.select(); break; }
      case "j": walk(1); break;
      case "k": walk(-1); break;
      case "x": if (!box) return; box.checked = !box.checked; count(); break;
      case "g": going = Date.now(); break;
      case "?": if (help.open) help.close(); else help.showModal(); break;
      default: return;
    }
    event.preventDefault();
  });

  // A form is sent once, however often its button is pressed; a page that is left and found again can send it anew.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    else form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => { for (const form of all("form[data-sent]")) delete form.dataset.sent; });
  count();
})();
