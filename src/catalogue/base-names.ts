// The names of a base: the name in an adapter's config (a hub name or a path, as PEFT writes it),
// and the name that users pass, which may be one of the catalogue.

import { catalogue } from './catalogue.ts'

/**
 * The value of `base_model_name_or_path` for a base that was loaded as `source`: other tools know
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
