import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { findUnusedText } from './own-text.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-text-'))
})
afterEach(() => rm(folder, { recursive: true }))

it("names an adapter's own chat template where it differs from the base's", async () => {
  expect(await findUnusedText(folder, { chatTemplate: 'a' })).toEqual([])
  await writeFile(join(folder, 'chat_template.jinja'), 'a')
  expect(await findUnusedText(folder, { chatTemplate: 'a' })).toEqual([])
  expect(await findUnusedText(folder, { chatTemplate: 'b' })).toEqual([
    "its own chat template, which differs from the base's",
  ])
})

it('says so where its files cannot be read', async () => {
  await writeFile(join(folder, 'tokenizer_config.json'), '{')
  expect((await findUnusedText(folder, {})).join()).toMatch(/cannot be read: /)
})
