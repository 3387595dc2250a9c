// Studio's files on this machine: the built page in dist/, ONNX Runtime's WebAssembly from its
// package, and the base that is served.

import { existsSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { flag } from '../../../base/schema.ts'
import type { ByteFolder, ByteSource } from '../../../formats/byte-source.ts'
import { createStudioRoutes, type StudioBase } from '../../../server/api/studio/studio-routes.ts'
import { listSplitNames } from '../../../formats/gguf/split.ts'
import type { Route } from '../../../server/route.ts'
import { openDirectory } from '../../files/folder.ts'
import { type ResolvedModel, resolveModel } from '../../models/resolve.ts'

export interface ServeStudioOptions {
  /** Does not offer Studio. Default false. */
  readonly withoutStudio?: boolean | undefined
}

export const studioFields = {
  withoutStudio: flag({ default: false, about: 'do not offer Studio, the page at /studio' }),
}

const here = dirname(fileURLToPath(import.meta.url))

/** Next to the compiled sources, or where a checkout builds them; undefined: not built. */
export const findStudioPage = (): string | undefined =>
  ['../../../studio', '../../../../dist/studio']
    .map((path) => join(here, path))
    .find((path) => existsSync(join(path, 'index.html.gz')))

export interface StudioTask {
  /** The base, as a source for `loadModel`; undefined if it is not on this machine. */
  readonly model: string | undefined
  /** The built page. */
  readonly page: string
  needsKey(): Promise<boolean>
}

export interface OpenedStudio {
  readonly routes: readonly Route[]
  close(): Promise<void>
}

export async function openStudio({ model, page, needsKey }: StudioTask): Promise<OpenedStudio> {
  const { resolve } = createRequire(import.meta.url)
  const runtime = dirname(resolve('onnxruntime-web/wasm'))
  const example = fileURLToPath(new URL('../../../catalogue/models/stories260k', import.meta.url))
  let opening: Promise<StudioBase | undefined> | undefined
  let closeServed = async (): Promise<void> => undefined
  /** When a page first requests it. A base that cannot be found again is not offered. */
  const findServed = (): Promise<StudioBase | undefined> =>
    (opening ??= (async () => {
      if (model === undefined) return undefined
      const resolved = await resolveModel(model, { offline: true }).catch(() => undefined)
      if (resolved && 'gguf' in resolved) closeServed = async () => resolved.gguf.close?.()
      return resolved && describeServed(model, resolved)
    })())
  const folders = {
    'ort/': await openDirectory(runtime),
    'models/stories260k/': await openDirectory(example),
  }
  return {
    routes: createStudioRoutes({ page: await openDirectory(page), folders, findServed, needsKey }),
    close: async () => {
      await opening
      await closeServed()
    },
  }
}

/** Whether a file of a model's folder belongs to the model. */
const isModelFile = (name: string): boolean => /^\w[\w.-]*\.(json|safetensors|jinja)$/.test(name)

async function describeServed(model: string, resolved: ResolvedModel): Promise<StudioBase> {
  const name = basename(resolved.name).replaceAll(/[^\w.-]+/g, '-') || 'model'
  if ('gguf' in resolved) return describeGguf(model, name, resolved.gguf)
  const { folder } = resolved
  const files = ['config.json', 'model.safetensors', 'model.safetensors.index.json']
  const sources = (await Promise.all(files.map((path) => folder.open(path)))).filter(
    (source) => source !== undefined,
  )
  const id = await hashSources(model, sources)
  for (const source of sources) await source.close?.()
  return { id, place: `${name}/`, open: (path) => openModelFile(folder, name, path) }
}

async function describeGguf(model: string, name: string, gguf: ByteSource): Promise<StudioBase> {
  const own = basename(gguf.name)
  // Parts of several are found by their names; no other file of the folder is served.
  const parts = listSplitNames(own)
  const place = parts ? own : `${name}.gguf`
  const open = async (path: string): Promise<ByteSource | undefined> => {
    if (path === place) return withoutClose(gguf)
    return parts?.includes(path) ? gguf.openBeside?.(path) : undefined
  }
  return { id: await hashSources(model, [gguf]), place, open }
}

async function openModelFile(
  folder: ByteFolder,
  name: string,
  path: string,
): Promise<ByteSource | undefined> {
  const file = path.slice(name.length + 1)
  return path.startsWith(`${name}/`) && isModelFile(file) ? folder.open(file) : undefined
}

/** Stays open for the next request. */
const withoutClose = (source: ByteSource): ByteSource => ({
  name: source.name,
  sizeBytes: source.sizeBytes,
  read: (offset, length) => source.read(offset, length),
})

const sampleBytes = 1 << 16

/** Over the name, the sizes, and the first and middle bytes: the whole would take seconds. */
async function hashSources(model: string, sources: readonly ByteSource[]): Promise<string> {
  const hash = createHash('sha256').update(model)
  for (const source of sources) {
    hash.update(String(source.sizeBytes))
    for (const offset of [0, Math.floor(source.sizeBytes / 2)])
      hash.update(await source.read(offset, Math.min(sampleBytes, source.sizeBytes - offset)))
  }
  return hash.digest('hex').slice(0, 16)
}
