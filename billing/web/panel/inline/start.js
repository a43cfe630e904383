// Loads the modules once the form has been painted: their loading would delay the first view by a third.
{
  const load = () => document.head.append(document.getElementById("modules").content);
  // A tab in the background paints nothing. A second call finds nothing left to append.
  if (document.hidden) load();
  else {
    requestAnimationFrame(() => setTimeout(load));
    document.addEventListener("visibilitychange", load, { once: true });
  }
}
