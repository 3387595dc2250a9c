export interface BrowserVersion {
  readonly version: number
  /** The features that decide it. */
  readonly because: readonly string[]
}

export interface BrowserNeeds {
  readonly least: Readonly<Record<'chrome' | 'firefox' | 'safari', BrowserVersion>>
}

/** Of graftlm/web with its worker, and of graftlm/micro; bytes of the first load by gzip. */
export function measureBrowserNeeds(): Promise<{
  readonly bytes: { readonly page: number; readonly worker: number }
  readonly web: BrowserNeeds
  readonly micro: BrowserNeeds
}>
