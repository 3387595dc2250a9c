// `npm run site`: the pages of docs/ as a site of plain files in site/.vitepress/dist, with search.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { installTools, root, runTool } from './test-runs.mjs'

const site = join(root, 'site')
const pages = join(site, 'pages')

/**
 * Copies the pages to where the generator finds its own modules, and builds. Gives the exit code.
 */
export async function buildSite() {
  const failed = await installTools('site')
  if (failed) return 1
  rmSync(pages, { recursive: true, force: true })
  cpSync(join(root, 'docs'), pages, { recursive: true })
  try {
    return await runTool('vitepress/bin/vitepress.js', ['build', site], { modules: site })
  } finally {
    rmSync(pages, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) process.exitCode = await buildSite()
