// Files of the web in a page, for tests that drive it from outside.

import { Sha256Stream } from '../../../src/base/sha256-stream.ts'
import { listDownloads, loadModel, removeDownload } from '../../../src/web/index.ts'
import { downloadFile } from '../../../src/web/sources/download.ts'
import { openUrlSource } from '../../../src/web/sources/url-source.ts'

const computeHash = (bytes: Uint8Array): string => {
  const hash = new Sha256Stream()
  hash.update(bytes)
  return hash.finish()
}

/** What came of a call: its result, or the error's class and words. */
async function attempt<Result>(work: () => Promise<Result>): Promise<Result | string> {
  try {
    return await work()
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`
  }
}

const files = {
  /** The hash of the bytes that are kept, and the one that is remembered. */
  download: (url: string, sha256?: string) =>
    attempt(async () => {
      const kept = await downloadFile(url, { sha256 })
      return kept
        ? [computeHash(new Uint8Array(await kept.blob.arrayBuffer())), kept.sha256]
        : 'none'
    }),
  /** Reads these parts of a URL without keeping it. */
  readParts: (url: string, parts: readonly (readonly [number, number])[]) =>
    attempt(async () => {
      const source = await openUrlSource(url)
      if (!source) return 'none'
      const hashes: string[] = []
      for (const [offset, length] of parts)
        hashes.push(computeHash(await source.read(offset, length)))
      return [String(source.sizeBytes), ...hashes]
    }),
  listDownloads: () => attempt(() => listDownloads()),
  removeDownload,
  /** Loads a model and lets it write; notes that it gave. */
  load: (url: string, options: object = {}) =>
    attempt(async () => {
      const notes: string[] = []
      const model = await loadModel(url, { ...options, onNote: (note) => notes.push(note) })
      const text = await model.complete('Once upon a time', { maxTokens: 8, temperature: 0 })
      await model.dispose()
      return [text, ...notes]
    }),
}

Object.assign(globalThis, { files })
