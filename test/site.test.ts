// The site of docs/: its build, what it finds, and that it asks no other host.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { root } from './support/sources.ts'

interface Section {
  readonly text: string
  readonly items: readonly { readonly text: string; readonly link: string }[]
}

const load = async <Exports>(path: string): Promise<Exports> =>
  (await import(join(root, path))) as Exports
const dist = join(root, 'site', '.vitepress', 'dist')
const pages = globSync('*.md', { cwd: join(root, 'docs') }).filter((page) => page !== 'README.md')

describe('docs/README.md', () => {
  it('links every page once', async () => {
    const { readSections } = await load<{ readSections(): Section[] }>('site/sections.mjs')
    const links = readSections().flatMap(({ items }) =>
      items.map(({ link }) => `${link.slice(1)}.md`),
    )
    expect(links.toSorted()).toEqual(pages.toSorted())
  })

  it('has a list of decisions that is whole', () => {
    const folder = join(root, 'docs', 'decisions')
    const list = readFileSync(join(folder, 'README.md'), 'utf8')
    const files = globSync('0*.md', { cwd: folder })
    expect(files.filter((file) => !list.includes(`(${file})`))).toEqual([])
  })
})

describe('the site', () => {
  let code: number | undefined
  beforeAll(async () => {
    const { buildSite } = await load<{ buildSite(): Promise<number> }>('scripts/build-site.mjs')
    code = await buildSite()
  })

  it('is built, and no link leads nowhere', () => {
    expect(code).toBe(0)
  })

  it('has a file for each page', () => {
    const missing = ['index.md', ...pages].filter(
      (page) => !existsSync(join(dist, `${basename(page, '.md')}.html`)),
    )
    expect(missing).toEqual([])
  })

  it('finds words of a page', () => {
    const [index = ''] = globSync('assets/chunks/@localSearchIndexroot.*.js', { cwd: dist })
    expect(readFileSync(join(dist, index), 'utf8').includes('"quantisation"')).toBe(true)
  })

  it('loads nothing from another host', () => {
    const html = globSync('**/*.html', { cwd: dist })
    const loads =
      /<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?\/\/|<link[^>]*\shref="(?:https?:)?\/\//
    expect(html.length).toBeGreaterThan(50)
    expect(html.filter((file) => loads.test(readFileSync(join(dist, file), 'utf8')))).toEqual([])
  })
})
