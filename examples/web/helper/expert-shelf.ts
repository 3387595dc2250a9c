// The experts of a page, each in a folder of the browser's own file system: as PEFT saves them,
// with the rows and settings of a training that was broken off. Independent of the model.

import { exportAdapter, loadAdapter, type Adapter } from 'graftlm/web'
import type { ExpertSummary, Files, TeachSettings } from './protocol.ts'

const shelf = 'graft-experts'
const settingsFile = 'teach-settings.json'
const rowsFolder = 'teach-rows'

/** The place of an expert, for `train` and `loadAdapter`. */
export function getPlace(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name))
    throw new Error(
      `The name ${JSON.stringify(name)} does not do: use up to 40 small letters, digits and hyphens.`,
    )
  return `opfs:${shelf}/${name}`
}

/** A refusal of the browser as a sentence with advice. */
function toSentence(cause: unknown): Error {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause))
  const reason =
    name === 'QuotaExceededError'
      ? 'the room of this site is used up, and nothing of this was kept. Remove experts, or free room on the disk'
      : `this browser keeps no files for this page (${message}). Private windows of some browsers do not; open the page in a usual window. The base answers here all the same`
  return new Error(`Experts cannot be kept: ${reason}.`, { cause })
}

async function openShelf(): Promise<FileSystemDirectoryHandle> {
  try {
    const root = await navigator.storage.getDirectory()
    return await root.getDirectoryHandle(shelf, { create: true })
  } catch (cause) {
    throw toSentence(cause)
  }
}

const openFolder = async (name: string): Promise<FileSystemDirectoryHandle> => {
  getPlace(name)
  return (await openShelf()).getDirectoryHandle(name, { create: true })
}

const hasFile = (folder: FileSystemDirectoryHandle, name: string): Promise<boolean> =>
  folder.getFileHandle(name).then(
    () => true,
    () => false,
  )

/** All experts by name; those whose training was broken off too. */
export async function listExperts(): Promise<ExpertSummary[]> {
  const found: ExpertSummary[] = []
  for await (const [name, handle] of (await openShelf()).entries()) {
    if (!(handle instanceof FileSystemDirectoryHandle)) continue
    if (await hasFile(handle, 'adapter_config.json')) found.push({ name, state: 'ready' })
    else if (await hasFile(handle, settingsFile)) found.push({ name, state: 'unfinished' })
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

export const openExpert = (name: string): Promise<Adapter> => loadAdapter(getPlace(name))

export const removeExpert = async (name: string): Promise<void> => {
  getPlace(name)
  await (await openShelf()).removeEntry(name, { recursive: true })
}

export async function exportExpert(name: string): Promise<Files> {
  const files = await exportAdapter(await openExpert(name))
  return new Map([...files].map(([path, bytes]) => [path, new Uint8Array(bytes)]))
}

async function writeFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Blob | string,
): Promise<void> {
  try {
    const handle = await folder.getFileHandle(name, { create: true })
    const stream = await handle.createWritable()
    await stream.write(content)
    await stream.close() // what was written appears as a whole, now
  } catch (cause) {
    throw toSentence(cause)
  }
}

/** Keeps the inputs of a training, so that it can resume after the tab was closed. */
export async function keepTraining(
  name: string,
  rows: File,
  settings: TeachSettings,
): Promise<void> {
  const folder = await openFolder(name)
  await folder.removeEntry(rowsFolder, { recursive: true }).catch(() => undefined)
  await writeFile(await folder.getDirectoryHandle(rowsFolder, { create: true }), rows.name, rows)
  await writeFile(folder, settingsFile, JSON.stringify(settings))
}

export async function openTraining(name: string): Promise<{ rows: File; settings: TeachSettings }> {
  const folder = await openFolder(name)
  const kept = await folder.getFileHandle(settingsFile).catch(() => undefined)
  if (!kept) throw new Error(`${name}: there is no training to resume.`)
  const settings = JSON.parse(await (await kept.getFile()).text()) as TeachSettings
  const rows = await folder.getDirectoryHandle(rowsFolder)
  for await (const handle of rows.values())
    if (handle instanceof FileSystemFileHandle) return { rows: await handle.getFile(), settings }
  throw new Error(`${name}: the rows it was taught with are gone. Remove it and teach it again.`)
}

/** After a training: what is no longer needed goes. */
export async function dropTraining(name: string): Promise<void> {
  const folder = await openFolder(name)
  for (const entry of [settingsFile, rowsFolder, 'checkpoints'])
    await folder.removeEntry(entry, { recursive: true }).catch(() => undefined)
}
