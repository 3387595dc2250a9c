// A registry in a folder of this machine, with export, import and publication of experts.

import type { PublishedExpert } from '../../registry/publish/layout-index.ts'
import type { RegisteredExpert, Registry } from '../../registry/registry.ts'
import type { ImportOptions } from './archive/import-archive.ts'
import type { AddPublishedOptions } from './publish/add-published.ts'
import type { FetchOptions, PublishedLayout } from './publish/published-layout.ts'
import type { PublishOptions } from './publish/publish-expert.ts'

export interface LocalRegistry extends Registry {
  /**
   * Writes a version as static files for any web server: an OCI image layout in a folder. Throws
   * ConflictError if the version is published with other content.
   */
  publish(reference: string, folder: string, options?: PublishOptions): Promise<PublishedExpert>
  /**
   * Adds an expert that is published at an address or in a folder. Throws SignatureError for other
   * bytes than published.
   */
  fetch(reference: string, from: string, options?: AddPublishedOptions): Promise<RegisteredExpert>
  /** Opens a published layout at an address or in a folder: lists, resolves, searches. */
  openPublished(from: string, options?: FetchOptions): Promise<PublishedLayout>
  /** Copies an expert's files into a new folder, or a new file: .tar, .tar.gz, .tgz, .tar.zst. */
  exportTo(reference: string, out: string): Promise<RegisteredExpert>
  /** Adds the experts of an archive: all of them, or none. */
  importFrom(file: string, options?: ImportOptions): Promise<readonly RegisteredExpert[]>
}
