"""One module a label format: CVAT, COCO, VIA, YOLO, folders of masks."""
