// The rows of a job: copied into its folder, so that it does not need the uploaded file any more.
// OpenAI's form of preferences becomes ours.

import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRecord } from '../../../base/schema.ts'
import type { FileStore, StoredFile } from '../../../server/api/files/file-store.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { toStorageError } from '../../files/system-errors.ts'

export type RowsName = 'training' | 'validation'

/** The file's ending determines its format: training.csv.gz. */
const endingPattern = /\.(?:jsonl?|csv|parquet)(?:\.(?:gz|zst))?$/i

/** Copies a file into a job's folder; gives its path there. Throws StorageError. */
export async function copyRows(
  files: FileStore,
  { id, name }: StoredFile,
  { folder, as }: { readonly folder: string; readonly as: RowsName },
): Promise<string> {
  const from = await files.locate(id)
  const [ending = '.jsonl'] = endingPattern.exec(name) ?? []
  const path = join(folder, `${as}${ending.toLowerCase()}`)
  try {
    await makeDirectory(folder)
    if (ending.toLowerCase() !== '.jsonl') await copyFile(from, path)
    else await writeFile(path, convertPreferences(await readFile(from, 'utf8')))
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
  return path
}

/** Lines that are no preferences of OpenAI are not changed; training reports mistakes. */
const convertPreferences = (text: string): string =>
  text.includes('"preferred_output"') ? text.split('\n').map(convertLine).join('\n') : text

function convertLine(line: string): string {
  if (!line.includes('"preferred_output"')) return line
  try {
    const row: unknown = JSON.parse(line)
    if (!isRecord(row) || !isRecord(row['input'])) return line
    const { input, preferred_output: chosen, non_preferred_output: rejected, ...rest } = row
    const { messages: prompt, ...more } = input as Readonly<Record<string, unknown>>
    return JSON.stringify(Object.assign({ prompt, chosen, rejected }, more, rest))
  } catch {
    return line
  }
}
