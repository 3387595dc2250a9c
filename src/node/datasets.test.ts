import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { NotFoundError } from '../base/errors.ts'
import { SyntheticDataGenerator } from '../train/datasets/synthetic/synthetic-data-generator.ts'
import { loadDataset, saveDataset } from './datasets.ts'

const folder = mkdtempSync(join(tmpdir(), 'graft-datasets-'))
afterAll(() => rmSync(folder, { recursive: true }))
const generator = new SyntheticDataGenerator(8, 1)

describe('a data set by path', () => {
  it.each([
    ['vectors.safetensors', generator.generate('coder', 5)],
    ['texts.jsonl', generator.tasks('coder', 5)],
  ])('%s comes back as it was, from a folder that was made for it', async (file, dataset) => {
    const path = join(folder, 'of', 'examples', file)
    await saveDataset(dataset, path)
    expect(existsSync(path)).toBe(true)
    expect(await loadDataset(path)).toEqual({ ...dataset, name: path })
  })
  it('may be rows of any JSONL', async () => {
    const path = join(folder, 'rows.jsonl')
    writeFileSync(path, '{"prompt":"a","completion":"b"}\n')
    expect(await loadDataset(path)).toMatchObject({ level: 'text', rows: [{ prompt: 'a' }] })
  })
  it('that is not there is said so', async () => {
    await expect(loadDataset(join(folder, 'gone.jsonl'))).rejects.toThrow(NotFoundError)
    await expect(loadDataset(join(folder, 'gone', 'rows.jsonl'))).rejects.toThrow(NotFoundError)
  })
})
