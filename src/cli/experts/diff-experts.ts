// What differs between two experts: their files, and their manifests key by key.

import type { RegisteredExpert } from '../../registry/registry.ts'

export interface DifferentKey {
  readonly key: string
  readonly before: string
  readonly after: string
}

export function listDifferences(a: RegisteredExpert, b: RegisteredExpert): DifferentKey[] {
  const rows: DifferentKey[] = []
  const compare = (key: string, before: unknown, after: unknown): void => {
    const left = toText(before)
    const right = toText(after)
    if (left !== right) rows.push({ key, before: left, after: right })
  }
  compare('files', `sha256:${a.hash.slice(0, 16)}…`, `sha256:${b.hash.slice(0, 16)}…`)
  const left = a.manifest as unknown as Readonly<Record<string, unknown>>
  const right = b.manifest as unknown as Readonly<Record<string, unknown>>
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
    compare(key, left[key], right[key])
  return rows
}

const toText = (value: unknown): string => {
  if (value === undefined) return '–'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
