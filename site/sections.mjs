// The sidebar is the list of pages in docs/README.md: a section for each heading, an entry for each link.
import { readFileSync } from 'node:fs'

const listFile = new URL('../docs/README.md', import.meta.url)

/** `{ text, items: [{ text, link }] }` for each heading of the second level. */
export function readSections(text = readFileSync(listFile, 'utf8')) {
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [heading = '', ...lines] = section.split('\n')
      const links = [...lines.join('\n').matchAll(/\[([^\]]+)\]\(([\w-]+)\.md\)/g)]
      const items = links.map(([, name = '', page]) => ({
        text: name[0].toUpperCase() + name.slice(1),
        link: `/${page}`,
      }))
      return { text: heading, items }
    })
}
