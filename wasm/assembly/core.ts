export { datagramPtr, flags, linksPtr, networksPtr, openWindow, rows, rowsPtr, take } from "./dump";
export * from "./encode";
export * from "./prefix";
export * from "./table";
