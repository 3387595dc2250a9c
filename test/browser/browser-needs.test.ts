// What a page loads first of the engine, and which browsers have what it needs, as the guide says.
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { measureBrowserNeeds } from '../../scripts/browser-versions.mjs'

/** Beside ONNX Runtime's own files. */
const largestEngineBytes = 250_000

let needs: Awaited<ReturnType<typeof measureBrowserNeeds>>
let guide: string
beforeAll(async () => {
  needs = await measureBrowserNeeds()
  guide = await readFile(new URL('../../docs/web.md', import.meta.url), 'utf8')
})

describe('the engine as a bundle', () => {
  it.each(['page', 'worker'] as const)('of a %s is small enough', (place) => {
    console.log(`${place}: ${(needs.bytes[place] / 1000).toFixed(1)} kB by gzip`)
    expect(needs.bytes[place]).toBeGreaterThan(100_000)
    expect(needs.bytes[place]).toBeLessThan(largestEngineBytes)
  })
  it.each(['web', 'micro'] as const)('of graftlm/%s needs the versions of the guide', (entry) => {
    const { chrome, firefox, safari } = needs[entry].least
    const row = [chrome, firefox, safari].map(({ version }) => version).join(' *\\| *')
    expect(guide).toMatch(new RegExp(`^\\| \`graftlm/${entry}\` *\\| *${row} *\\|`, 'm'))
  })
})
