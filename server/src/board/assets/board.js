// Keeps the page current: the server says that something changed, and the parts marked `data-live` are taken from the same
// page, fetched again. What somebody types is never touched. Without this file a reload does the same.
"use strict";

(() => {
  const stale = document.getElementById("stale");
  let source = null;
  let busy = false;
  let again = false;

  function swap(fresh) {
    const focused = document.activeElement && document.activeElement.id;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (now && now.innerHTML !== old.innerHTML) {
        old.replaceChildren(...now.childNodes);
      }
    }
    if (focused && document.activeElement === document.body) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }

  // A page nobody looks at holds no connection: browsers allow only a few to one server.
  function listen() {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource("/bestuur/live");
      source.onopen = refresh;
      source.onmessage = refresh;
      source.onerror = () => {
        stale.hidden = false;
      };
    }
  }

  // One answer, also for those who click twice.
  document.querySelector("form")?.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  // Whoever comes back to this page by the browser's button may send again.
  addEventListener("pageshow", () => {
    const form = document.querySelector("form");
    if (form) delete form.dataset.sent;
  });

  if (document.querySelector("[data-live]")) {
    document.addEventListener("visibilitychange", listen);
    listen();
  }
  document.documentElement.dataset.script = "runs";
})();
