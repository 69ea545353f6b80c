// From a disk a page may not read another one, so results of the search are titles there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What a keyboard and a screen reader need, where the theme leaves it out.
const reach = () => {
  for (const box of document.querySelectorAll("article pre, article table, article p:has(> math), .formula"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; // scrolls by the arrow keys
    else box.removeAttribute("tabindex");
};
document.addEventListener("DOMContentLoaded", () => {
  for (const toggle of document.querySelectorAll("summary"))
    if (!toggle.textContent.trim()) toggle.setAttribute("aria-label", "Show the pages below");
  reach();
});
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true); // folded text has no width
