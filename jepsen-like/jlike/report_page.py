"""The frame of every page: one file without scripts, light or dark as its reader has it. Pure.

Used by `jlike.report`. A narrow screen shows tables and pictures at a size that can be read, and
scrolls them sideways within the page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root{color-scheme:light dark;--ink:#1c2833;--soft:#566573;--paper:#fff;--panel:#fbfcfc;
--line:#e2e6e7;--axis:#aab7b8;--lane:#d5dde0;--link:#1f618d}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ea;--soft:#9fabb2;--paper:#14191c;
--panel:#1a2124;--line:#2b3438;--axis:#566167;--lane:#3a464b;--link:#7fb8dd}}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;margin:2rem auto;max-width:1120px;padding:0 1rem;
color:var(--ink);background:var(--paper);overflow-wrap:break-word}
.banner{padding:1.1rem 1.5rem;border-radius:10px;color:#fff;font-size:1.25rem}
.valid{background:#1f7a4d}.invalid{background:#b3261e}.unknown{background:#8a6d00}
.banner b{letter-spacing:.04em}.banner small{display:block;font-size:.95rem;opacity:.95}
.banner code{font-size:.9rem}
.scroll{overflow-x:auto;margin:.6rem 0 1.2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);
vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:.88rem;white-space:nowrap}
td.short,td.number{white-space:nowrap}td.number{font-variant-numeric:tabular-nums}
td.wide{min-width:14rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
.tag{padding:.1rem .5rem;border-radius:4px;color:#fff;font-size:.85rem;white-space:nowrap}
svg{display:block;width:100%;min-width:900px;height:auto;background:var(--panel);
border:1px solid var(--line);border-radius:6px}
svg text{font-family:system-ui,sans-serif}
.name{font-size:12px;fill:var(--ink)}.mark{font-size:11px;fill:var(--soft)}
.on{font-size:11px;fill:#fff}.axis{stroke:var(--axis)}.rule{stroke:var(--line)}
h1{font-size:1.5rem}h2{margin:2rem 0 .5rem;font-size:1.15rem}
p.note{margin:.3rem 0 .6rem;color:var(--soft);font-size:.9rem}code{font-size:.88rem}
p.note span{white-space:nowrap;margin-right:.9rem}
a{color:var(--link)}summary{cursor:pointer;color:var(--link);margin:.4rem 0}
figure{margin:0 0 .9rem}figure .scroll{margin:0}
figcaption{font-weight:600;font-size:.95rem;margin:.7rem 0 .25rem}
figcaption span{font-weight:400;color:var(--soft)}
@media(max-width:600px){body{margin:.8rem auto;padding:0 .7rem}.banner{font-size:1.1rem;
padding:.8rem 1rem}th,td{padding:.3rem .35rem;font-size:.86rem}td.wide{min-width:11rem}}
@media print{svg,.banner,.tag{print-color-adjust:exact}}
"""


def page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><body>{body}</body></html>"
    )


def table(heads: Sequence[str], rows: Iterable[str]) -> str:
    """rows: cells of each, as markup."""
    head = "".join(f"<th>{html.escape(it)}</th>" for it in heads)
    body = "".join(f"<tr>{it}</tr>" for it in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def cell(text: object, *, look: str = "") -> str:
    """look: class of the style; the text is whatever anybody wrote."""
    name = f' class="{look}"' if look else ""
    return f"<td{name}>{html.escape(str(text))}</td>"


def tag(verdict: str) -> str:
    return f'<span class="tag {html.escape(verdict)}">{html.escape(verdict)}</span>'


def figure(title: str, note: str, picture: str) -> str:
    said = f" <span>– {html.escape(note)}</span>" if note else ""
    caption = f"<figcaption>{html.escape(title)}{said}</figcaption>"
    return f'<figure>{caption}<div class="scroll">{picture}</div></figure>'
