"""The HTML and the CSS of report.html."""

# Plots are dark on white. In dark mode they are inverted, and their hues are kept.
STYLE = """
:root { color-scheme: light dark; --ink: #1a1c1e; --paper: #fff; --soft: #5c6268; --line: #d9dde1;
  --tint: #f3f5f7; --accent: #0062a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --paper: #111315; --soft: #a0a7ae; --line: #353a3f; --tint: #1b1e21;
    --accent: #6cb8ec; }
  img { filter: invert(0.93) hue-rotate(180deg) brightness(1.15); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0.5rem 0 0; }
h2 { margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h2, h3 { font-size: 1.2rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 0.75rem;
  margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { padding: 0.6rem 0.9rem; border-radius: 0.5rem; background: var(--tint); }
.tiles b { display: block; font-size: 1.4rem; line-height: 1.3; white-space: nowrap; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
  gap: 0 1.5rem; padding: 0; list-style: none; font-size: 0.9rem; }
.pairs li { display: flex; justify-content: space-between; gap: 1rem; padding: 0.25rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tr.winner td { font-weight: 700; }
td.whole { white-space: nowrap; }
pre { overflow-x: auto; padding: 0.7rem 0.9rem; border-radius: 0.5rem; background: var(--tint); }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { position: sticky; left: 0; }
img { display: block; width: 100%; min-width: 40rem; height: auto; }
a { color: var(--accent); }
"""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
<body>
{body}
</body>
</html>
"""
