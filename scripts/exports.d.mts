/** What package.json's `exports` has to say for the sources under `root`. */
export declare function exportsOf(
  root: string,
): Record<string, string | Record<string, string | null>>
