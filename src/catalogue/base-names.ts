// The names of a base: what an adapter's config says (a hub name or a path, as PEFT writes it), and
// what users give, which may be one of the catalogue.

import { catalogue } from './catalogue.ts'

/**
 * What `base_model_name_or_path` says for a base that was asked for as `source`: other tools know
 * hub names, not our catalogue.
 */
export function getBaseName(source: string): string {
  const hub = catalogue.get(source)?.sources.find((place) => place.kind === 'hub')
  if (hub?.kind === 'hub') return hub.repository
  return source.startsWith('hf:') ? source.slice(3).replace(/[@#].*$/, '') : source
}

/**
 * Where the base that an adapter's config names can be found: the catalogue's name, a path, or the
 * hub.
 */
export function getBaseSource(baseName: string): string {
  for (const { name, sources } of catalogue.values()) {
    if (
      name === baseName ||
      sources.some((place) => place.kind === 'hub' && place.repository === baseName)
    )
      return name
  }
  return /^[\w.-]+\/[\w.-]+$/.test(baseName) &&
    !baseName.startsWith('.') &&
    !baseName.endsWith('.gguf')
    ? `hf:${baseName}`
    : baseName
}
